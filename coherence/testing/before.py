"""What the user's modules hold before a program runs: functions that they import, locks, queues.

In a run the stand-in of a function stands there too: ``from threading import Lock``.  A lock of the
run stands in for each lock.  A condition, a semaphore, a queue, an event stays the same object; it
begins each run as it was before the first.  They are looked for in modules, in the user's classes
and objects, in dictionaries and lists, in what functions close over, and in the program.

A module that is imported during a run gets the stand-in of a function itself, as ``__wrapped__``
tells; it gets the function back here.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from coherence.testing.frames import is_module_of_users, is_name_of_ours
from coherence.testing.instead import Container, Replaced, Slots, put

#: Of no other function is anything asked: a value may do as it likes with that.
_FUNCTIONS: Final = {FunctionType, BuiltinFunctionType, type}
#: Locks of the interpreter's: whether each is re-entrant.
LOCKS: Final[Mapping[type, bool]] = {type(threading.Lock()): False, type(threading.RLock()): True}
_QUEUES: Final = (queue.Queue, queue.LifoQueue, queue.PriorityQueue)
_TASK_QUEUES: Final = (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue)
#: By class: what it is called; nothing if its uses make no move, as with a variable.
_OF_THREADS: Final[Mapping[type, str]] = {
    threading.Condition: "condition",
    threading.Semaphore: "semaphore",
    threading.BoundedSemaphore: "semaphore",
    threading.Event: "",
    threading.Barrier: "",
    **dict.fromkeys(_QUEUES, "queue"),
}
_OF_TASKS: Final[Mapping[type, str]] = {
    asyncio.Lock: "lock",
    asyncio.Condition: "condition",
    asyncio.Semaphore: "semaphore",
    asyncio.BoundedSemaphore: "semaphore",
    asyncio.Event: "",
    asyncio.Barrier: "",
    **dict.fromkeys(_TASK_QUEUES, "queue"),
}
#: What a condition takes from its lock.
_OF_LOCK: Final = ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned")
_MANY: Final = {dict, defaultdict, list}
#: Kinds that hold nothing of these.
_INERT: Final = {
    *(type(None), bool, int, float, complex, str, bytes, frozenset, set, range),
    *(ModuleType, property, staticmethod, classmethod, MemberDescriptorType, GetSetDescriptorType),
    re.Pattern,
}
#: Of the interpreter's own, whose locks are not the user's, even in a class of the user's.
_OWN_LOCKS: Final = (threading.Thread, Executor, asyncio.AbstractEventLoop, logging.Filterer)
_COPIED: Final = {deque, list, dict, set}
#: How many values are looked at, and how many a dictionary or a list may have.
VALUES_MAX: Final = 100_000
ITEMS_MAX: Final = 1_000


class Held(NamedTuple):
    """A value that is to be found somewhere."""

    where: Any
    key: Any
    value: Any
    name: str
    #: What has the lock that it may be: a lock has itself.
    kind: str = "lock"


MakeLock: TypeAlias = Callable[[str, str, bool], Any]
"""Makes a lock of the run: its kind, its name, whether it is re-entrant."""


class Before:
    """What one exploration of `program` finds: looked for again when there are more modules."""

    def __init__(self, program: object) -> None:
        self._program, self._modules = program, -1
        self._found = _Search(program, frozenset())

    def look(self, functions: Iterable[Any]) -> None:
        """Look for these functions too, if there are other modules than at the last look."""
        if self._modules != len(sys.modules):
            self._modules = len(sys.modules)
            self._found = _Search(self._program, frozenset(functions))
            self._found.look()

    def has_grown(self) -> bool:
        """Whether modules that were imported since the last look have brought something."""
        before = self._found
        self.look(before.plain)
        return self._found.size != before.size

    def replaced(self, functions: Mapping[Any, Any], make_lock: MakeLock) -> list[Replaced]:
        """The values that have another one in a run, where `functions` have stand-ins."""
        found = self._found
        replaced: list[Replaced] = [
            (held.where, held.key, functions[held.value]) for held in found.functions
        ]
        made: dict[int, Any] = {}

        def lock_of(held: Held) -> Any:
            lock = made.get(id(held.value))
            if lock is None:
                lock = make_lock(held.kind, held.name, LOCKS[type(held.value)])
                made[id(held.value)] = lock
            return lock

        for where, key, value in found.states:
            replaced.append((where, key, copy(value) if type(value) in _COPIED else value))
        replaced += [(held.where, held.key, lock_of(held)) for held in found.locks]
        for held in found.conditions:
            lock = lock_of(held)
            replaced.append((held.where, held.key, lock))
            replaced += [(held.where, name, getattr(lock, name)) for name in _OF_LOCK]
        return replaced

    @property
    def of_tasks(self) -> Sequence[Held]:
        """What tasks wait for."""
        return self._found.of_tasks


class _Search:
    """One look at the user's modules, and at what the program has with it."""

    def __init__(self, program: object, functions: frozenset[Any]) -> None:
        self._program, self.plain = program, functions
        self._modules: set[str] = set()
        self._seen: set[int] = set()
        self._left: deque[Held] = deque()
        self.functions: list[Held] = []
        self.locks: list[Held] = []
        self.conditions: list[Held] = []
        self.of_tasks: list[Held] = []
        self.states: list[Replaced] = []

    @property
    def size(self) -> int:
        """How much was found."""
        held = self.functions, self.locks, self.conditions, self.of_tasks
        return len(self.states) + sum(map(len, held))

    def look(self) -> None:
        """Look at everything that can be reached."""
        modules = _modules_of_users()
        self._modules = {module.__name__ for module in modules}
        for module in modules:
            form = _form(module)
            if _BARREN.get(module) == form:
                continue
            size, name = self.size, module.__name__
            self._enter(module, vars(module), name if name != "__main__" else _stem(module))
            self._meet_all()
            if self.size == size:
                _BARREN[module] = form
        self._enter(None, (self._program,), "the program", "{}")
        self._meet_all()

    def _meet_all(self) -> None:
        while self._left and len(self._seen) < VALUES_MAX:
            self._meet(self._left.popleft())

    def _enter(self, where: Any, many: Any, name: str, form: str = "{}.{}") -> None:
        """Remember what may lead to something.  Most values do not, and cost a look at the type."""
        items = many.items() if isinstance(many, Mapping) else enumerate(many)
        for number, (key, value) in enumerate(list(items)):
            kind = type(value)
            if kind in _INERT or (kind is FunctionType and self._is_plain(value)):
                continue
            word = key if type(key) is str else number
            self._left.append(Held(where, key, value, form.format(name, word)))

    def _is_plain(self, function: FunctionType) -> bool:
        closes_over = function.__closure__ is not None or function.__dict__
        return not closes_over and function not in self.plain

    def _meet(self, held: Held) -> None:
        value, kind = held.value, type(held.value)
        if held.where is None and (kind in LOCKS or (kind in _FUNCTIONS and value in self.plain)):
            return  # it cannot be replaced in a tuple
        if kind in LOCKS:
            self.locks.append(held)
        elif (kind in _FUNCTIONS and self._is_replaced(held)) or id(value) in self._seen:
            return
        else:
            self._seen.add(id(value))
            if kind in _OF_THREADS:
                self._meet_of_threads(held, _OF_THREADS[kind])
            elif kind in _OF_TASKS:
                self._meet_of_tasks(held, _OF_TASKS[kind])
            elif kind is FunctionType:
                self._meet_function(held)
            elif kind in _MANY:
                self._meet_many(held)
            elif kind is tuple:
                self._enter(None, value, held.name, "{}[{!r}]")
            elif kind is partial:
                self._enter(None, (value.func, value.args, value.keywords), held.name, "{}")
            elif kind is MethodType:
                self._enter(None, (value.__func__, value.__self__), held.name, "{}")
            elif issubclass(kind, type):
                if self._is_users(value):
                    self._enter(value, type.__getattribute__(value, "__dict__"), held.name)
            elif self._is_users(kind) and not issubclass(kind, _OWN_LOCKS):
                self._meet_object(held)

    def _is_users(self, kind: type) -> bool:
        module = type.__getattribute__(kind, "__module__")
        return kind is SimpleNamespace or (type(module) is str and module in self._modules)

    def _is_replaced(self, held: Held) -> bool:
        """Whether it has a stand-in, or is one that a run has left."""
        value = held.value
        plain = value
        if type(value) is FunctionType and value not in self.plain:
            plain = value.__dict__.get("__wrapped__")
        if type(plain) not in _FUNCTIONS or plain not in self.plain:
            return False
        if plain is not value:
            put(held.where, held.key, plain)
        self.functions.append(held._replace(value=plain))
        return True

    def _meet_of_threads(self, held: Held, kind: str) -> None:
        attributes = vars(held.value)
        inner = [each for each in attributes.values() if type(each) is threading.Condition]
        if any(each._waiters for each in (held.value, *inner) if hasattr(each, "_waiters")):
            return  # a thread outside of the run waits for it
        where = Container(attributes)
        for key, value in list(attributes.items()):
            if type(value) in LOCKS and kind:
                found = self.conditions if type(held.value) is threading.Condition else self.locks
                found.append(Held(where, key, value, held.name, kind))
            elif key not in _OF_LOCK:
                self.states.append((where, key, value))
        for each in inner:
            self._seen.add(id(each))
            self._meet_of_threads(held._replace(value=each), kind)

    def _meet_of_tasks(self, held: Held, kind: str) -> None:
        attributes = vars(held.value)
        where = Container(attributes)
        self.states.append((where, "_loop", attributes.get("_loop")))
        for key, value in list(attributes.items()):
            if key not in _OF_LOCK:
                self.states.append((where, key, value))
            if type(value) in _OF_TASKS and id(value) not in self._seen:
                self._seen.add(id(value))
                inner = kind if _OF_TASKS[type(value)] else ""
                self._meet_of_tasks(held._replace(value=value), inner)
        if type(held.value) is asyncio.Condition:  # its lock is what tasks wait for
            self.states.append((where, "acquire", partial(_acquire, attributes["_lock"])))
        elif kind:
            self.of_tasks.append(held._replace(kind=kind))

    def _meet_function(self, held: Held) -> None:
        function = held.value
        inner = function.__dict__.get("__wrapped__")  # of a library's decorator
        if type(inner) is FunctionType and id(inner) not in self._seen:
            self._seen.add(id(inner))
            self._meet_function(held._replace(value=inner))
        module = function.__globals__.get("__name__")
        if module in self._modules or is_name_of_ours(str(module)):
            names = function.__code__.co_freevars
            for name, cell in zip(names, function.__closure__ or (), strict=True):
                with suppress(ValueError):  # an empty one
                    value = cell.cell_contents
                    self._left.append(Held(cell, "cell_contents", value, f"{held.name}.{name}"))

    def _meet_many(self, held: Held) -> None:
        many = held.value
        if type(many) is defaultdict:
            self._left.append(Held(many, "default_factory", many.default_factory, held.name))
        if len(many) <= ITEMS_MAX:
            self._enter(Container(many), many, held.name, "{}[{!r}]")

    def _meet_object(self, held: Held) -> None:
        with suppress(AttributeError):  # an object with slots alone
            attributes = object.__getattribute__(held.value, "__dict__")
            if type(attributes) is dict:
                self._enter(Container(attributes), attributes, held.name)
        for kind in type(held.value).__mro__:
            for key, member in vars(kind).items() if self._is_users(kind) else ():
                if type(member) is MemberDescriptorType:
                    with suppress(AttributeError):  # an empty one
                        value = member.__get__(held.value)
                        name = f"{held.name}.{key}"
                        self._left.append(Held(Slots(held.value), member, value, name))


#: Modules in which nothing was found, with their form then.
_BARREN: WeakKeyDictionary[ModuleType, object] = WeakKeyDictionary()
#: The user's modules, and how many modules there were at the last look.
_users: tuple[int, list[ModuleType]] = (-1, [])


def _modules_of_users() -> list[ModuleType]:
    global _users
    if _users[0] != len(sys.modules):
        modules = list(sys.modules.values())
        _users = len(modules), [each for each in modules if is_module_of_users(each)]
    return _users[1]


def _form(module: ModuleType) -> object:
    """Another one if the module has other kinds of values, or longer dictionaries and lists."""
    return [
        len(value) if type(value) in _MANY else type(value) for value in list(vars(module).values())
    ]


def _acquire(lock: asyncio.Lock) -> Any:
    """As `lock` does in a run: its bound method is that of another class."""
    return lock.acquire()


def _stem(module: ModuleType) -> str:
    return Path(str(module.__file__)).stem
