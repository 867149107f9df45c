"""Backends over workspaces in memory and in a file, closed at the end."""

import pytest


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def url(request, tmp_path):
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/team.db"


@pytest.fixture
def opened(url):
    """Opens backends on one workspace; each is another caller."""
    from coherence import Workspace
    from coherence_deepagents import CoherentBackend

    made = []
    with Workspace(url) as workspace:

        def make(**settings):
            made.append(CoherentBackend(workspace, **settings))
            return made[-1]

        yield make
        for backend in made:
            backend.close()


@pytest.fixture
def backend(opened):
    return opened()
