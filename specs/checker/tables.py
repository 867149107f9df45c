"""Rules as tables, filled as the search meets new combinations.

A rule's table maps the values that the rule read to its *moves*.  A move adds an integer to a
packed state.  If a move updates slots that the rule did not read, separate update tables give the
addends.  Rules whose combinations are few are fused into *bundles*, so that one look-up serves
several rules.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from specs.checker.composite import Change, Composite, Rule
from specs.checker.decisions import Decisions
from specs.checker.layout import Layout, Observed, require_same_kind
from specs.checker.model import Action
from specs.checker.purity import Repeater, impure
from specs.checker.result import Moment

#: So many calls of each rule are all repeated.
FIRST_CALLS = 2


class Move(NamedTuple):
    """A transition relative to its state: the label, what to add, which updates to look up."""

    label: int
    delta: int
    updates: tuple[int, ...]


class UpdateTable:
    """The addends of operations on one slot, by the value that the slot holds."""

    __slots__ = ("_tables", "deltas", "mask", "number", "operations", "slot")

    def __init__(self, tables: Tables, slot: int, operations: tuple[Hashable, ...]) -> None:
        self._tables = tables
        self.number = len(tables.updates)
        self.slot = slot
        self.operations = operations
        self.deltas: dict[int, int] = {}
        #: The slot's bits when the current level began: an attribute, for the inner loop.
        self.mask = tables.layout.masks[slot]

    def fill(self, packed: int) -> int:
        """Look up the addend for `packed`; compute it if it is new."""
        layout = self._tables.layout
        key = packed & layout.masks[self.slot]
        delta = self.deltas.get(key)
        if delta is None:
            value = layout.value_in(packed, self.slot)
            for operation in self.operations:
                value = self._tables.apply(self.slot, value, operation)
            number = layout.number(self.slot, value)
            delta = self.deltas[key] = layout.code(self.slot, number) - key
        return delta


class RuleTable:
    """One rule, by the slots that it reads and writes."""

    def __init__(self, tables: Tables, rule: Rule) -> None:
        self._tables = tables
        self.rule = rule
        self._repeat = Repeater(FIRST_CALLS)
        tables.repeaters.append(self._repeat)
        self.updated: set[int] = set()
        #: All moves of this rule in a state.
        self.moves = Decisions(tables.layout, self._ask)
        #: The slots that it has read or written so far, in any state.
        self.slots = self.moves.slots

    @property
    def mask(self) -> int:
        """The bits that decide its moves."""
        return self._tables.layout.mask_of(self.slots)

    def _ask(self, observed: Observed, packed: int) -> tuple[Move, ...]:
        tables = self._tables
        changes = tables.composite.changes(self.rule, observed)
        observed.close()
        self.sample(changes, packed)
        return self.moves_of(changes, observed, packed)

    def sample(self, changes: Sequence[Change], packed: int) -> None:
        """Repeat the call if it is one of the sample; raises `ImpureStep` if the changes differ."""
        if not self._repeat.is_due():
            return
        composite, state = self._tables.composite, self._tables.layout.unpack(packed)
        what = f"a rule of {composite.name!r}"
        first = [(change.action, composite.after(state, change)) for change in changes]
        again = composite.effects(self.rule, state)
        if first != again:
            raise impure(what, repr(first), repr(again))
        self._repeat.keep(what, composite.effects, (self.rule, state), first)

    def moves_of(
        self, changes: Sequence[Change], observed: Observed, packed: int
    ) -> tuple[Move, ...]:
        """The changes of the rule as moves, which depend on the slots that they write as well."""
        for change in changes:
            for slot, _ in change.writes:
                observed.looks[slot] = None
        return tuple(self._move(change, observed, packed) for change in changes)

    def _move(self, change: Change, observed: Observed, packed: int) -> Move:
        tables, layout = self._tables, self._tables.layout
        written = dict(change.writes)
        later: dict[int, list[Hashable]] = {}
        for slot, operation in change.updates:
            if slot in written:
                written[slot] = tables.apply(slot, written[slot], operation)
            elif slot in observed.looks:
                value = layout.value_in(packed, slot)
                written[slot] = tables.apply(slot, value, operation)
            else:
                later.setdefault(slot, []).append(operation)
        numbers = [(slot, layout.number(slot, value)) for slot, value in written.items()]
        delta = sum(
            layout.code(slot, number) - (packed & layout.masks[slot]) for slot, number in numbers
        )
        self.updated.update(later)
        updates = tuple(tables.update(slot, tuple(ops)) for slot, ops in later.items())
        return Move(tables.label(change.action), delta, updates)


class Entry(NamedTuple):
    """All moves of a bundle under one key: those that only add, and those with updates."""

    deltas: tuple[int, ...]
    sends: tuple[tuple[int, tuple[UpdateTable, ...]], ...]
    labels: tuple[int, ...]


class Bundle:
    """Several rules under one key."""

    def __init__(self, tables: Tables, rules: Sequence[RuleTable], extra: set[int]) -> None:
        self._tables = tables
        self.rules = list(rules)
        self._looks = [rule.slots for rule in rules]
        self._looked = sum(map(len, self._looks))
        self.slots: set[int] = set(extra).union(*self._looks)
        self.entries: dict[int, Entry] = {}
        self._mask = 0
        self._mask_at = (-1, -1)
        # Rules that can have moves: not those that read only slots that never varied.
        self._awake: list[RuleTable] = []
        self._awake_at = -1

    @property
    def mask(self) -> int:
        """The bits of its key."""
        layout = self._tables.layout
        at = (layout.width, len(self.slots))
        if self._mask_at != at:
            self._mask_at, self._mask = at, layout.mask_of(self.slots)
        return self._mask

    def entry(self, packed: int) -> Entry:
        """The entry for a state."""
        entry = self.entries.get(packed & self.mask)
        return self.fill(packed) if entry is None else entry

    def fill(self, packed: int) -> Entry:
        """The entry for a state, made if it is new.  May widen the key and drop all entries."""
        if self._awake_at != self._tables.layout.width:
            self._awake_at = self._tables.layout.width
            self._awake = [rule for rule in self.rules if rule.moves(packed) or rule.mask]
        moves = [move for rule in self._awake for move in rule.moves(packed)]
        looked = sum(map(len, self._looks))
        if looked != self._looked:
            self._looked, slots = looked, self.slots.union(*self._looks)
            if slots != self.slots:
                self.slots = slots
                self.entries.clear()
                self._tables.version += 1
        key = packed & self.mask
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = self._entry(moves, packed)
        for _, updates in entry.sends:
            for update in updates:
                update.fill(packed)
        return entry

    def _entry(self, moves: Sequence[Move], packed: int) -> Entry:
        deltas, labels, sends, send_labels = [], [], [], []
        for label, delta, numbers in moves:
            open_updates = []
            for number in numbers:
                update = self._tables.updates[number]
                if update.slot in self.slots:
                    delta += update.fill(packed)
                else:
                    open_updates.append(update)
            if open_updates:
                sends.append((delta, tuple(open_updates)))
                send_labels.append(label)
            else:
                deltas.append(delta)
                labels.append(label)
        return Entry(tuple(deltas), tuple(sends), tuple(labels + send_labels))


class Tables:
    """All tables of a composite so far; engines share and fill them."""

    def __init__(self, composite: Composite[Any]) -> None:
        self.composite = composite
        kinds = composite.kinds or range(len(composite.slots))
        self.layout = Layout(kinds)
        #: Samples of the calls of rules and updates, to be repeated at the end of a search.
        self.repeaters: list[Repeater] = [Repeater(FIRST_CALLS)]
        self.labels: list[Action] = []
        self._label_numbers: dict[Action, int] = {}
        self.updates: list[UpdateTable] = []
        self._update_numbers: dict[tuple[int, tuple[Hashable, ...]], int] = {}
        #: Counts the times that a key was widened: plans made before are void.
        self.version = 0
        self.initial = [self.layout.pack(state) for state in composite.initial]
        self.rules = [RuleTable(self, rule) for rule in composite.rules]
        self.bundles = [Bundle(self, [rule], set()) for rule in self.rules]

    def apply(self, slot: int, value: Any, operation: Any) -> Hashable:
        """The value after an update."""
        composite = self.composite
        what = f"an update of {composite.slots[slot]!r}"
        return self.repeaters[0](what, composite.updated, slot, value, operation)

    def label(self, action: Action) -> int:
        """The number of a label."""
        number = self._label_numbers.get(action)
        if number is None:
            number = self._label_numbers[action] = len(self.labels)
            self.labels.append(action)
        return number

    def update(self, slot: int, operations: tuple[Hashable, ...]) -> int:
        """The number of an update table."""
        number = self._update_numbers.get((slot, operations))
        if number is None:
            number = self._update_numbers[slot, operations] = len(self.updates)
            self.updates.append(UpdateTable(self, slot, operations))
        else:
            require_same_kind(self.updates[number].operations, operations)
        return number

    def begin_level(self) -> None:
        """Extend the keys of update tables by bits that their slots gained meanwhile."""
        for update in self.updates:
            update.mask = self.layout.masks[update.slot]

    def prepare(self, packed: int) -> None:
        """Fill every table that expanding this state needs."""
        for bundle in self.bundles:
            bundle.entry(packed)

    def successors(self, packed: int) -> list[tuple[int, int]]:
        """(label, packed successor) of every move, from the single rules."""
        found = []
        for rule in self.rules:
            for label, delta, updates in rule.moves(packed):
                following = packed + delta
                for number in updates:
                    following += self.updates[number].fill(packed)
                found.append((label, following))
        return found

    def rebundle(self, sample: Sequence[int], keys_max: int) -> None:
        """Fuse rules so that each bundle has at most `keys_max` keys among `sample`.

        Rules go into the first bundle that takes them; wide ones first.  A bundle then includes the
        slots that its moves update, on the same condition, which saves the look-up of the update.
        """
        mask_of = self.layout.mask_of

        def few(slots: set[int]) -> bool:
            mask = mask_of(slots)
            return len({packed & mask for packed in sample}) <= keys_max

        groups: list[tuple[set[int], list[RuleTable]]] = []
        for rule in sorted(self.rules, key=lambda r: -mask_of(r.slots).bit_count()):
            for slots, rules in groups:
                both = slots | rule.slots
                if mask_of(both) == mask_of(slots) or few(both):
                    slots |= rule.slots
                    rules.append(rule)
                    break
            else:
                groups.append((set(rule.slots), [rule]))
        self.bundles = []
        for slots, rules in groups:
            for slot in sorted(set().union(*(rule.updated for rule in rules)) - slots):
                if few(slots | {slot}):
                    slots.add(slot)
            self.bundles.append(Bundle(self, rules, slots))
        self.version += 1


def path_of(tables: Tables, chain: Sequence[int]) -> list[Moment]:
    """The labels along a chain of packed states, found by walking it again."""
    unpack = tables.layout.unpack
    moments = [Moment(None, unpack(chain[0]))]
    for before, after in pairwise(chain):
        label = next(name for name, packed in tables.successors(before) if packed == after)
        moments.append(Moment(tables.labels[label], unpack(after)))
    return moments
