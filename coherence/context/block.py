"""Gets and puts of a block of code as one transaction, for a framework's store of items."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from coherence.conflict import Conflicts
from coherence.contents import Content
from coherence.context.desk import Desk
from coherence.context.events import Tell, was_published, was_read, was_refused
from coherence.context.items import Items, Told
from coherence.context.steps import carried_out
from coherence.messages import Version
from coherence.view import View


class ItemsBlock:
    """One transaction on `items`, by an agent of its own beside that of `desk`.

    `run` is the framework's run, which takes the events too.  `travels` returns the version of an
    item that the caller received without getting it, and `ask` carries out operations on the
    wrapped store, if there is one.  Raises as a transaction does.
    """

    def __init__(
        self,
        items: Items,
        desk: Desk,
        run: Any,
        travels: Callable[[str], Version],
        ask: Callable[[list[Any]], Any] | None,
    ) -> None:
        self._items, self._beside, self._run = items, desk, run
        self._travels, self._ask = travels, ask
        self._note: Tell = run or (lambda event: None)
        self._stack = ExitStack()
        #: Item -> the framework's put, a named tuple with a field ``value``.
        self.puts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._desk = stack.enter_context(self._items.spare_desk(self._beside, self._run))
            stack.enter_context(self._desk.work())
            with self._desk.agent() as agent:
                self._tx = stack.enter_context(agent.transaction())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        with self._items.under_way(self.puts if self._ask is not None else ()) as raced:
            try:
                with self._desk.busy:
                    self._stack.__exit__(*error)
            except Conflicts as conflicts:
                for conflict in conflicts.conflicts.values():
                    self._note(was_refused(conflict, self._desk.name))
                raise
            told: dict[str, Told] = {}
            for name, ref in (self._tx.refs or {}).items():
                told[name] = ref.version, self._tx.writes[name]
                self._note(was_published(ref, told[name][1], self._desk.name))
            if self._ask is not None:
                puts = self.puts
                steps = self._items.telling(
                    self._desk, told, lambda name, value: puts[name]._replace(value=value), raced
                )
                carried_out(steps, self._desk, self._ask)

    async def __aenter__(self) -> Self:
        return await self._items.aside.run(self.__enter__)

    async def __aexit__(self, *error: Any) -> None:
        await self._items.aside.run(self.__exit__, *error)

    def look(self, name: str) -> View | None:
        """The item, as of one moment with all that was got before; None if it does not exist."""
        with self._desk.busy:
            view: View | None = self._tx.read(name, missing=None)
        if view is not None:
            self._note(was_read(view, self._desk.name))
        return view

    def note(self, name: str, content: Content | None, put: Any) -> None:
        """Note a new content, or a deletion, for the end of the block.

        A deletion gets the item.  A content for an item that the block has not got replaces it, or
        derives from the version that the caller has received.
        """
        with self._desk.busy:
            if content is None:
                if self.look(name) is None:
                    return
                self._tx.delete(name)
            elif name in self._tx.reads:
                self._tx.write(name, content)
            elif self._items.is_strict:
                self._tx.write(name, content, expect=self._travels(name))
            else:
                self._tx.write(name, content, overwrite=True)
        self.puts[name] = put
