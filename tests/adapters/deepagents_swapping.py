"""A pytest plugin that runs the tests of deepagents, also with CoherentBackend for StoreBackend.

`deepagents_suites.py` loads it.  With ``--wrapped`` the modules of deepagents give a StoreBackend
whose files are in a workspace, one for each namespace of a store; the tests stay as they are.  They
look into the store too, so it shows those files beside its own items.
"""

import functools
import importlib
import itertools
import tempfile
from datetime import datetime

from langgraph_wrapping import Outcomes, pytest_addoption

__all__ = ["pytest_addoption"]

METHODS = (
    "ls",
    "read",
    "grep",
    "glob",
    "write",
    "edit",
    "delete",
    "upload_files",
    "download_files",
)


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))
    if config.getoption("--wrapped"):
        swap(config.getoption("--wrapped"))


def swap(where):
    """Put ours where the tests look for StoreBackend, and for the store that they give to it."""
    from deepagents import backends
    from langgraph.store import memory

    folder = tempfile.mkdtemp(prefix="suites-")
    numbers = itertools.count()

    def workspace():
        return "memory://" if where == "memory" else f"sqlite:///{folder}/{next(numbers)}.db"

    memory.InMemoryStore = showing(memory.InMemoryStore)
    swapped = swapping(backends.StoreBackend, workspace)
    for module in (backends, importlib.import_module("deepagents.backends.store")):
        module.StoreBackend = swapped


def swapping(plain, workspace):
    """The class to make where a test asks for `plain`."""
    from coherence_deepagents import CoherentBackend

    class Swapped(plain):
        @property
        def coherent(self):
            backends = self._get_store().__dict__.setdefault("coherent", {})
            namespace = self._get_namespace()
            if namespace not in backends:
                there = self._search_store_paginated(self._get_store(), namespace)
                backends[namespace] = CoherentBackend(workspace())
                for item in there:
                    bring(backends[namespace], item.key, item.value)
            return backends[namespace]

    def passing(name):
        @functools.wraps(getattr(CoherentBackend, name))
        def passed(self, *arguments, **settings):
            return getattr(self.coherent, name)(*arguments, **settings)

        return passed

    for name in METHODS:
        setattr(Swapped, name, passing(name))
        setattr(Swapped, f"a{name}", passing(f"a{name}"))
    return Swapped


def bring(backend, path, value):
    """A file that a test has put into the store."""
    if isinstance(value.get("content"), str):
        backend.upload_files([(path, value["content"].encode())])


def showing(plain):
    """A store that shows the files of the backends over it, as StoreBackend would keep them."""
    from langgraph.store.base import Item, SearchItem

    class Showing(plain):
        def put(self, namespace, key, value, *arguments, **settings):
            super().put(namespace, key, value, *arguments, **settings)
            if backend := self.__dict__.get("coherent", {}).get(tuple(namespace)):
                bring(backend, key, value)

        def kept(self, kind, namespace, key):
            backend = self.__dict__.get("coherent", {}).get(tuple(namespace))
            found = backend and backend.read(key, 0, 10**9).file_data
            if not found:
                return None
            dates = (datetime.fromisoformat(found[at]) for at in ("created_at", "modified_at"))
            return kind(
                value=dict(found),
                key=key,
                namespace=tuple(namespace),
                **dict(zip(("created_at", "updated_at"), dates, strict=True)),
            )

        def get(self, namespace, key, **settings):
            return self.kept(Item, namespace, key) or super().get(namespace, key, **settings)

        async def aget(self, namespace, key, **settings):
            return self.kept(Item, namespace, key) or await super().aget(namespace, key, **settings)

        def search(self, namespace, **settings):
            backend = self.__dict__.get("coherent", {}).get(tuple(namespace))
            paths = [found["path"] for found in backend.glob("**/*").matches] if backend else []
            ours = [self.kept(SearchItem, namespace, path) for path in paths]
            return ours + super().search(namespace, **settings)

    return Showing
