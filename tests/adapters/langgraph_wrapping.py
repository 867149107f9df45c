"""A pytest plugin that runs LangGraph's own tests of a store, also on the store wrapped.

`langgraph_suites.py` loads it.  With ``--wrapped`` the modules that LangGraph's tests import give
classes that make a `CoherentStore` over the store that was asked for; the tests stay as they are.
"""

import importlib
import itertools
import json
import tempfile
from pathlib import Path

#: The stores that LangGraph's tests make: every module that hands out the class, and its name.
STORES = [
    (("langgraph.store.memory",), "InMemoryStore"),
    (("langgraph.store.sqlite", "langgraph.store.sqlite.base"), "SqliteStore"),
    (("langgraph.store.sqlite", "langgraph.store.sqlite.aio"), "AsyncSqliteStore"),
    (("langgraph.store.postgres", "langgraph.store.postgres.base"), "PostgresStore"),
    (("langgraph.store.postgres", "langgraph.store.postgres.aio"), "AsyncPostgresStore"),
]


def pytest_addoption(parser):
    group = parser.getgroup("coherence")
    group.addoption("--wrapped", choices=["memory", "sqlite"], help="wrap; where the workspace is")
    group.addoption("--outcomes", help="the file to write the outcome of each case to")
    group.addoption("--postgres", help="the address of a PostgreSQL server")


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))
    config.pluginmanager.register(Server(config))
    if config.getoption("--wrapped"):
        wrap_all(config.getoption("--wrapped"))


class Server:
    """Gives the tests that name a PostgreSQL server another one."""

    def __init__(self, config):
        self.address = config.getoption("--postgres")
        for plugin in config.pluginmanager.get_plugins():
            self.pytest_plugin_registered(plugin)

    def pytest_plugin_registered(self, plugin):
        if self.address and hasattr(plugin, "DEFAULT_URI"):
            plugin.DEFAULT_URI = self.address


def wrap_all(where):
    """Put wrapped stores where the tests look for plain ones."""
    folder = tempfile.mkdtemp(prefix="suites-")
    numbers = itertools.count()

    def workspace():
        return "memory://" if where == "memory" else f"sqlite:///{folder}/{next(numbers)}.db"

    for modules, name in STORES:
        try:
            found = [importlib.import_module(module) for module in modules]
        except ImportError:
            continue
        wrapping = wrapped(getattr(found[0], name), workspace)
        for module in found:
            setattr(module, name, wrapping)


def wrapped(plain, workspace):
    """The class to make where a test asks for `plain`."""
    from coherence_langgraph import CoherentStore

    class Wrapped(CoherentStore):
        def __init__(self, *arguments, **settings):
            super().__init__(plain(*arguments, **settings), workspace=workspace())

        def __getattr__(self, name):
            """What tests look into, private names too, is the wrapped store's."""
            if name == "inner" or name.startswith("__"):
                raise AttributeError(name)
            return getattr(self.inner, name)

        def __setattr__(self, name, value):
            # Constants of the class are here too, for tests that read them there.
            if name.isupper():
                setattr(self.inner, name, value)
            else:
                super().__setattr__(name, value)

        def batch(self, ops):  # of its own, so that a test can replace it and put it back
            return super().batch(ops)

    # What makes a store and yields it makes whatever class it is called on.
    if made := getattr(plain, "from_conn_string", None):
        Wrapped.from_conn_string = classmethod(made.__func__)
    # Constants, which tests read from the class.
    for name in filter(str.isupper, dir(plain)):
        setattr(Wrapped, name, getattr(plain, name))
    return Wrapped


class Outcomes:
    """Writes what became of each case, and why, when the run ends."""

    def __init__(self, path):
        self.path, self.seen = path, {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message if crash else str(report.longrepr or "")
            before = self.seen.get(report.nodeid, {"outcome": "passed"})
            if before["outcome"] == "passed":
                self.seen[report.nodeid] = {"outcome": report.outcome, "why": why.split("\n")[0]}

    def pytest_sessionfinish(self):
        if self.path:
            Path(self.path).write_text(json.dumps(self.seen), encoding="utf-8")
