"""Atomic operations on elements of arrays that compiled threads share, and prefetching.

numba has neither for the processor, so they are written in the intermediate code of LLVM.  A thread
that loads what another stored sees all that the other wrote before (acquire and release).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

#: Calls in compiled code have other arguments than the functions below.
intrinsic: Any = _intrinsic


pointer: Any = cgutils.get_item_pointer


def _atomic(emit: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """The typing and the code of an operation on ``array[place]``, from its operands."""

    def typed(_: Any, array: Any, place: Any, *operands: Any) -> tuple[Any, Any]:
        signature = array.dtype(array, types.intp, *[array.dtype] * len(operands))

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = signature.args[0]
            view = context.make_array(kind)(context, builder, arguments[0])
            element = pointer(context, builder, kind, view, [arguments[1]])
            return emit(builder, element, kind.dtype.bitwidth // 8, *arguments[2:])

        return signature, code

    return typed


def _load(builder: Any, element: Any, size: int) -> Any:
    return builder.load_atomic(element, "acquire", size)


def _store(builder: Any, element: Any, size: int, value: Any) -> Any:
    builder.store_atomic(value, element, "release", size)
    return value


def _add(builder: Any, element: Any, size: int, more: Any) -> Any:
    return builder.atomic_rmw("add", element, more, "acq_rel")


def _swap(builder: Any, element: Any, size: int, expected: Any, value: Any) -> Any:
    before = builder.cmpxchg(element, expected, value, "acq_rel", "acquire")
    return builder.extract_value(before, 0)


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, place: Any) -> Any:
    """Begin to bring ``array[place]``, or the beginning of its row, into the cache."""
    signature = types.void(array, types.intp)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, arguments[0])
        zero = context.get_constant(types.intp, 0)
        places = [arguments[1]] + [zero] * (kind.ndim - 1)
        element = pointer(context, builder, kind, view, places)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], form)
        # To read, into all caches, data.
        builder.call(fetch, [builder.bitcast(element, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return signature, code


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, place: Any) -> Any:
    """``array[place]``."""
    return _atomic(_load)(typing, array, place)


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """``array[place] = value``; the value."""
    return _atomic(_store)(typing, array, place, value)


@intrinsic  # type: ignore[untyped-decorator]
def fetch_add(typing: Any, array: Any, place: Any, more: Any) -> Any:
    """``array[place] += more``; what it was before."""
    return _atomic(_add)(typing, array, place, more)


@intrinsic  # type: ignore[untyped-decorator]
def compare_and_swap(typing: Any, array: Any, place: Any, expected: Any, value: Any) -> Any:
    """Put `value` where `expected` is; what was there before, which is `expected` on success."""
    return _atomic(_swap)(typing, array, place, expected, value)
