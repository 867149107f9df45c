"""The tests that deepagents has of its backends, plain and on CoherentBackend in its place.

As `langgraph_suites.py`, with the plugin `deepagents_swapping`: where a test makes a StoreBackend,
the files of each of its namespaces are in a workspace.  A case that passes plain has to pass then
too, unless a reason why it cannot is known here.
"""

import sys

from langgraph_suites import Suite, Upstream, main

EXAMPLE = """
example:
    git clone --depth 1 https://github.com/langchain-ai/deepagents
    pip install pytest-asyncio
    python tests/adapters/deepagents_suites.py deepagents
"""

BACKENDS = "unit_tests/backends/test_"

SUITES = (
    Suite(
        "store", "deepagents", (f"{BACKENDS}store_backend.py", f"{BACKENDS}store_backend_async.py")
    ),
    Suite("glob", "deepagents", (f"{BACKENDS}glob_semantics.py::TestStoreBackendGlobMatrix",)),
    Suite("composite", "deepagents", (f"{BACKENDS}composite_backend.py",)),
    Suite("awaited", "deepagents", (f"{BACKENDS}composite_backend_async.py",)),
    Suite(
        "agents",
        "deepagents",
        ("unit_tests/test_permissions.py", "unit_tests/test_eviction_replay.py"),
    ),
)

#: Cases that pass with StoreBackend and not with ours, and why.
KNOWN = {
    r"::test_store_backend_\w*legacy_list\w*$": "puts a list of lines, the form of an old release, "
    "into the store itself: a workspace has no such files",
    r"::test_store_backend_a?delete_uses_single_batch_call$": "counts the calls of the store",
}

UPSTREAM = Upstream(
    __doc__.partition("\n")[0],
    EXAMPLE,
    "libs/deepagents/tests/unit_tests",
    "deepagents_swapping",
    SUITES,
    KNOWN,
)

if __name__ == "__main__":
    sys.exit(main(upstream=UPSTREAM))
