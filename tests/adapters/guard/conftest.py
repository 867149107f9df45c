import subprocess

import pytest
from guarding import Session


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "plan.md").write_text("build: open\nreview: open\n")
    return folder


@pytest.fixture
def ann(project):
    return Session(project, "ann-0001")


@pytest.fixture
def bob(project):
    return Session(project, "bob-0002")


@pytest.fixture
def git(project):
    """Runs git in the project, which is a repository."""

    def run(*words, folder=project):
        quiet = [
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@example.org",
            "-c",
            "init.defaultBranch=main",
        ]
        subprocess.run(["git", *quiet, *words], cwd=folder, check=True, capture_output=True)

    run("init")
    run("add", "-A")
    run("commit", "-m", "first")
    return run
