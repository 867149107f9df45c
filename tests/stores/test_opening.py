"""A store that another package brings is opened by its scheme, by workspaces and by commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

STORE = """
from pathlib import Path

from coherence.stores.sqlite import SqliteStore


class FolderStore(SqliteStore):
    pass


def opened(url, retention=None, *, create=True, readonly=False):
    folder = Path(url.removeprefix("folder://"))
    return FolderStore(str(folder / "kept.db"), retention, create=create, readonly=readonly)
"""


@pytest.fixture
def package(tmp_path):
    """An installed package with a store for the scheme `folder`."""
    (tmp_path / "folder_store.py").write_text(STORE)
    info = tmp_path / "folder_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: folder-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[coherence.stores]\nfolder = folder_store:opened\ngone = folder_store:gone\n"
    )
    return tmp_path


def run(package, *arguments):
    code = f"import sys; sys.path.append({str(package)!r}); " + arguments[0]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments[1:]], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_store_of_another_package_is_found_by_its_scheme(package):
    writes = (
        f"import coherence; w = coherence.Workspace('folder://{package}'); "
        "w.agent('ann').write('plan', 'text'); print(type(w._site.store).__name__); w.close()"
    )
    assert run(package, writes) == (0, "FolderStore\n")
    shows = "from coherence.cli import app; app(prog_name='coherence')"
    code, said = run(package, shows, "show", "plan", "--store", f"folder://{package}")
    assert (code, said) == (0, "text")
    code, said = run(package, shows, "status", "--store", "drawer://there")
    assert code == 2
    assert "no store has the scheme 'drawer'" in said
    code, said = run(package, shows, "status", "--store", "gone://there")
    assert code == 3
    assert "store-fault: the store of 'gone' cannot be loaded from folder_store:gone" in said
