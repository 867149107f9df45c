"""Types in public signatures are public; twins for threads and for tasks have the same calls."""

from __future__ import annotations

import importlib
import inspect
import pickle
import traceback
import types
import typing
from enum import Enum

import msgspec
import pytest

import causal
import coherence

PACKAGES = ("message_passing", "coherence", "causal")
#: What those implement who bring a policy, a store or a transport.
PORTS = ("coherence.states", "coherence.stores.port", "causal.transports.port")


def public_types(name: str) -> set[type]:
    """What a package lists, or a module has without an underscore."""
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [each for each in dir(module) if each[0] != "_"])
    return {
        value for value in (getattr(module, each) for each in listed) if isinstance(value, type)
    }


PUBLIC = set[type]().union(*map(public_types, (*PACKAGES, *PORTS)))
#: Calls of inner rooms that sit on a public class.
INTERNAL = {
    coherence.Recorder: {"cache_step", "took_effect"},
    causal.Journal: {"append", "open", "replace"},
    causal.Recorder: {"core"},
}


def named(hint: object) -> typing.Iterator[type]:
    """The classes of ours that a type hint names."""
    if isinstance(hint, type) and hint.__module__.partition(".")[0] in PACKAGES:
        yield hint
    for part in typing.get_args(hint):
        yield from named(part)
    if isinstance(hint, list | tuple):
        for part in hint:
            yield from named(part)


def calls(kind: type) -> dict[str, typing.Callable]:
    """The public methods of a class, and its properties, by name."""
    found = {}
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if not name.startswith("_") and isinstance(value, types.FunctionType):
            found[name] = value
    return found


def hints(call: typing.Callable) -> dict[str, object]:
    """The types that a call takes and gives; imports for type checkers alone are made here."""
    late = {
        name: getattr(package, name) for package in (coherence, causal) for name in package.__all__
    }
    module = importlib.import_module(call.__module__)
    return typing.get_type_hints(call, {**vars(typing), **late, **vars(module)})


CLASSES = [
    pytest.param(getattr(package, name), id=f"{package.__name__}.{name}")
    for package in (coherence, causal)
    for name in package.__all__
    if isinstance(getattr(package, name), type)
    and not issubclass(getattr(package, name), BaseException)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_type_in_a_public_signature_is_public(kind):
    hidden = {
        f"{kind.__name__}.{name}: {each.__module__}.{each.__qualname__}"
        for name, call in calls(kind).items()
        if name not in INTERNAL.get(kind, ()) and not issubclass(kind, causal.Machine)
        for hint in hints(call).values()
        for each in named(hint)
        if each not in PUBLIC
    }
    assert hidden == set()


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (coherence.Agent, coherence.AsyncAgent),
        (coherence.Workspace, coherence.AsyncWorkspace),
        (causal.Endpoint, causal.AsyncEndpoint),
    ],
)
def test_twins_have_the_same_calls(blocking, awaited):
    apart = INTERNAL.get(blocking, set()) | INTERNAL.get(awaited, set()) | {"open"}
    assert set(calls(blocking)) - apart == set(calls(awaited)) - apart


def test_what_is_raised_can_be_caught_by_a_public_name():
    roots = {coherence.CallerError, coherence.EnvironmentFault, coherence.PeerError}
    errors = [
        value
        for package in (coherence, causal, importlib.import_module("coherence.errors"))
        for value in (getattr(package, name) for name in dir(package))
        if isinstance(value, type) and issubclass(value, coherence.ToolkitError)
    ]
    assert len(errors) > 30
    strays = [error for error in errors if not issubclass(error, (*roots, coherence.ToolkitError))]
    assert strays == []
    assert all(issubclass(root, coherence.ToolkitError) for root in roots)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_traceback_names_the_package_that_is_imported(kind):
    """Structs keep their module: msgspec resolves their annotations by it."""
    inner = issubclass(kind, msgspec.Struct | tuple | Enum) or getattr(kind, "_is_protocol", False)
    assert inner or kind.__module__ in ("coherence", "causal")


def test_an_error_can_still_be_pickled_and_says_its_public_path():
    assert coherence.Conflict.__module__ == "coherence"
    assert coherence.AgentBusy.__module__ == "coherence"
    busy = pickle.loads(pickle.dumps(coherence.AgentBusy("busy")))
    assert "coherence.AgentBusy: busy" in traceback.format_exception_only(busy)[0]
