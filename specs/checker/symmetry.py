"""Symmetry reduction: one representative for all states that differ only in replicas' names.

Replicas are sorted by a key that does not name the others: the replica's own slots, and its part in
the shared slots.  Sometimes replicas tie although exchanging them would change the state (for
example, if they point at each other).  Then all orders of the tied replicas are tried and the least
result is taken.  Of too many orders one is taken: the search stays sound, but visits more states.

Counterexamples are concrete: a path is walked again from a real initial state, at each step along a
transition whose representative is the recorded one (`walk`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise, permutations
from math import factorial, prod
from operator import add, getitem
from typing import Any, NamedTuple

from specs.checker.composite import Symmetry
from specs.checker.errors import ModelError
from specs.checker.orders import ORDERS_MAX, neighbours, orders_of
from specs.checker.tables import Tables

#: Remembered renamings; forgotten all at once beyond that.
MEMO_MAX = 1 << 20
#: Room for the part that shared slots have in a sort key.
SHIFT = 32

NO_TWINS: frozenset[int] = frozenset()

SELF, OTHER = "\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}"


class Shared(NamedTuple):
    """The slots that belong to no replica, in one state."""

    #: Their part in the key of each replica.
    keys: tuple[int, ...]
    #: Whether replicas with equal keys can be exchanged without changing the state.
    separable: bool


class Representatives:
    """Maps each packed state to the representative of its orbit."""

    def __init__(self, tables: Tables, symmetry: Symmetry) -> None:
        self._tables = tables
        self._layout = tables.layout
        self._symmetry = symmetry
        self.replicas = symmetry.replicas
        self._place = {name: i for i, name in enumerate(self.replicas)}
        self._owners = [symmetry.names_of(slot) for slot in range(self._layout.slots)]
        self._slot_of = self._corresponding_slots()
        ones = [slot for slot in range(self._layout.slots) if len(self._who(slot)) == 1]
        self._shared = [slot for slot in range(self._layout.slots) if not self._who(slot)]
        self._mutual = [slot for slot in range(self._layout.slots) if len(self._who(slot)) > 1]
        #: For each replica its own slots; those at one index correspond.
        first = [slot for slot in ones if self._who(slot)[0] == 0]
        self._own = [
            [self._image(slot, self._exchange(0, i)) for slot in first]
            for i in range(len(self.replicas))
        ]
        self._names: dict[tuple[int, ...], dict[str, str]] = {}
        others = dict.fromkeys(self.replicas, OTHER)
        self._self_and_others = [{**others, name: SELF} for name in self.replicas]
        self._signatures: dict[Hashable, int] = {}
        self._columns: list[dict[int, int]] = [{} for _ in self.replicas]
        self._codes: list[dict[int, int]] = [{} for _ in self.replicas]
        self._shares: dict[int, Shared] = {}
        self._tells: dict[tuple[int, int, int], tuple[int, bool]] = {}
        self._betweens: list[dict[int, int]] = [{} for _ in self.replicas]
        self._by_order: dict[tuple[int, ...], list[tuple[int, dict[int, int], int, int]]] = {}
        self._moved: dict[tuple[int, int, int], int] = {}
        self._renamed: dict[tuple[int, int, tuple[int, ...]], int] = {}
        #: States whose ties were too many to be settled.
        self.unsettled = 0
        self._width = -1
        self._refresh()

    # Slots and names.

    def _who(self, slot: int) -> list[int]:
        return [self._place[name] for name in self._owners[slot] if name in self._place]

    def _corresponding_slots(self) -> dict[Hashable, int]:
        found: dict[Hashable, int] = {}
        self._rank: list[int] = []
        counts: Counter[tuple[str, ...]] = Counter()
        for slot, owners in enumerate(self._owners):
            self._rank.append(counts[owners])
            found[owners, counts[owners]] = slot
            counts[owners] += 1
        return found

    def _exchange(self, i: int, j: int) -> tuple[int, ...]:
        order = list(range(len(self.replicas)))
        order[i], order[j] = order[j], order[i]
        return tuple(order)

    def _image(self, slot: int, places: Sequence[int]) -> int:
        """Where a slot goes when replica i becomes replica ``places[i]``."""
        if not self._who(slot):
            return slot
        owners = tuple(
            self.replicas[places[self._place[name]]] if name in self._place else name
            for name in self._owners[slot]
        )
        try:
            return self._slot_of[owners, self._rank[slot]]
        except KeyError:
            raise ModelError(
                f"no slot of {owners} corresponds to {self._tables.composite.slots[slot]!r}",
                remedy="interchangeable components need the same slots",
            ) from None

    def _rename(self, slot: int, number: int, places: tuple[int, ...]) -> int:
        """The number, in the image of `slot`, of a value after renaming."""
        key = (self._layout.domain(slot), number, places)
        renamed = self._renamed.get(key)
        if renamed is None:
            names = self._names.get(places)
            if names is None:
                to = {name: self.replicas[places[i]] for i, name in enumerate(self.replicas)}
                names = self._names[places] = to
            value = self._symmetry.rename(self._layout.values[key[0]][number], names)
            renamed = self._layout.number(self._image(slot, places), value)
            if len(self._renamed) > MEMO_MAX:
                self._renamed.clear()
                self._names.clear()
            self._renamed[key] = renamed
        return renamed

    def _refresh(self) -> None:
        """Include slots that have come to vary."""
        layout = self._layout
        self._width = layout.width
        masks = [layout.mask_of(own) for own in self._own]
        self._look = [(self._columns[i].get, mask) for i, mask in enumerate(masks)]
        self._own_masks = masks
        self._all_own = sum(masks)
        #: By the length of a lone bit, the replica that it belongs to.
        self._replica_at = [0] * (layout.width + 1)
        for replica, mask in enumerate(masks):
            for length in range(mask.bit_length() + 1):
                if mask & 1 << length >> 1:
                    self._replica_at[length] = replica
        self._shared_mask = layout.mask_of(self._shared)
        self._mutual_mask = layout.mask_of(self._mutual)
        self._mutual_masks = [
            layout.mask_of([slot for slot in self._mutual if i in self._who(slot)])
            for i in range(len(self.replicas))
        ]
        self._by_order.clear()

    # The key of a replica.

    def _told(self, slot: int, number: int, replica: int) -> tuple[int, bool]:
        """A value with one replica's name put as "self" and the others' as "other".

        Returns a number for the result, and whether the value names no replica.
        """
        key = (self._layout.domain(slot), number, replica)
        told = self._tells.get(key)
        if told is None:
            value = self._layout.values[key[0]][number]
            said = self._symmetry.rename(value, self._self_and_others[replica])
            told = self._tells[key] = (self._signature((key[0], said)), said == value)
        return told

    def _signature(self, told: Hashable) -> int:
        return self._signatures.setdefault(told, len(self._signatures))

    def _column(self, packed: int, replica: int) -> int:
        """A replica's own slots as a number, shifted to make room for its part in shared slots.

        Negative if they name a replica; otherwise the number determines all of them.
        """
        layout = self._layout
        numbers = [layout.number_in(packed, slot) for slot in self._own[replica]]
        told = [
            self._told(slot, number, replica)
            for slot, number in zip(self._own[replica], numbers, strict=True)
        ]
        key = self._signature(("own", *(said for said, _ in told))) + 1 << SHIFT
        if not all(names_nobody for _, names_nobody in told):
            key = -key
        elif key not in self._codes[0]:
            for i, slots in enumerate(self._own):
                self._codes[i][key] = sum(
                    layout.code(slot, number) for slot, number in zip(slots, numbers, strict=True)
                )
        self._columns[replica][packed & layout.mask_of(self._own[replica])] = key
        return key

    def _share(self, packed: int) -> Shared:
        layout = self._layout
        numbers = [(slot, layout.number_in(packed, slot)) for slot in self._shared]
        keys = tuple(
            self._signature(
                ("shared", *(self._told(slot, number, i)[0] for slot, number in numbers))
            )
            for i in range(len(self.replicas))
        )
        separable = all(
            self._rename(slot, number, self._exchange(i, j)) == number
            for slot, number in numbers
            for i, j in neighbours(keys)
        )
        shared = self._shares[packed & self._shared_mask] = Shared(keys, separable)
        return shared

    # The representative.

    def __call__(self, packed: int) -> int:
        """The representative of a state's orbit."""
        if self._layout.width != self._width:
            self._refresh()
        shared = self._shares.get(packed & self._shared_mask) or self._share(packed)
        own = self._columns_of(packed)
        keys = list(map(add, own, shared.keys))
        if packed & self._mutual_mask or not shared.separable or min(own) < 0:
            return self._least(packed, keys)
        if keys == sorted(keys):
            return packed
        return self._sorted(packed & self._shared_mask, own, keys)

    def _columns_of(self, packed: int) -> list[int]:
        columns: list[Any] = [get(packed & mask) for get, mask in self._look]
        if None in columns:
            columns = [self._column(packed, replica) for replica in range(len(columns))]
        return columns

    def twins(self, packed: int) -> frozenset[int]:
        """Replicas of a representative that could be exchanged with an earlier one.

        Only names would change.  So the twin has the same moves as such a replica, and the two
        results have one representative.
        """
        if self._layout.width != self._width:
            self._refresh()
        shared = self._shares.get(packed & self._shared_mask) or self._share(packed)
        if packed & self._mutual_mask or not shared.separable:
            return NO_TWINS
        own = self._columns_of(packed)
        if min(own) < 0:
            return NO_TWINS
        keys = list(map(add, own, shared.keys))
        return frozenset(i for i in range(1, len(keys)) if keys[i] == keys[i - 1])

    def only(self, changed: int) -> int:
        """The one replica whose own slots have changed bits, or -1."""
        if self._layout.width != self._width:
            self._refresh()
        own = changed & self._all_own
        replica = self._replica_at[(own & -own).bit_length()]
        return replica if own and not own & ~self._own_masks[replica] else -1

    def _sorted(self, shared: int, columns: list[int], keys: list[int]) -> int:
        """Sort plain columns, renaming the shared slots at every move.

        Mostly one replica has changed, and one move does.  If not, sort by insertion.
        """
        i = next(i for i, (key, after) in enumerate(pairwise(keys)) if key > after)
        key = keys.pop(i)
        if keys == sorted(keys):
            j = bisect_right(keys, key)
            columns.insert(j, columns.pop(i))
            shared = self._move(shared, i, j)
        else:
            keys.insert(i, key)
            for i, key in enumerate(keys):
                if i and key < keys[i - 1]:
                    j = bisect_right(keys, key, 0, i)
                    keys.insert(j, keys.pop(i))
                    columns.insert(j, columns.pop(i))
                    shared = self._move(shared, i, j)
        return sum(map(getitem, self._codes, columns), shared)

    def _move(self, shared: int, i: int, j: int) -> int:
        """The shared slots after replica i has become replica j and those between made room."""
        moved = self._moved.get((shared, i, j))
        if moved is not None:
            return moved
        order = list(range(len(self.replicas)))
        order.insert(j, order.pop(i))
        places = [0] * len(order)
        for new, old in enumerate(order):
            places[old] = new
        layout = self._layout
        moved = 0
        numbers = [(slot, layout.number_in(shared, slot)) for slot in self._shared]
        for slot, number in numbers:
            moved += layout.code(slot, self._rename(slot, number, tuple(places)))
        if len(self._moved) > MEMO_MAX:
            self._moved.clear()
        self._moved[shared, i, j] = moved
        return moved

    def _least(self, packed: int, keys: Sequence[int]) -> int:
        """The general case: all orders that agree with the keys of the replicas."""
        if packed & self._mutual_mask:
            keys = [(key << SHIFT) + self._between(packed, i) for i, key in enumerate(keys)]
        orders = list(orders_of(keys))
        if len(orders) > 1 and not self._ties_matter(packed, keys):
            orders = orders[:1]
        elif len(orders) >= ORDERS_MAX:
            self.unsettled += 1
            orders = orders[:1]
        return min(self.renamed(packed, order) for order in orders)

    def _between(self, packed: int, replica: int) -> int:
        """The part of a replica's key from the slots that it shares with other replicas."""
        layout = self._layout
        key = packed & self._mutual_masks[replica]
        between = self._betweens[replica].get(key)
        if between is None:
            told: Counter[Hashable] = Counter()
            for slot in self._mutual:
                who = self._who(slot)
                if replica in who:
                    number = layout.number_in(packed, slot)
                    said = self._told(slot, number, replica)[0]
                    told[self._rank[slot], tuple(i == replica for i in who), said] += 1
            between = self._signature(("between", frozenset(told.items())))
            self._betweens[replica][key] = between
        return between

    def _ties_matter(self, packed: int, keys: Sequence[int]) -> bool:
        return any(
            self.renamed(packed, self._exchange(i, j)) != packed for i, j in neighbours(keys)
        )

    def renamed(self, packed: int, places: tuple[int, ...]) -> int:
        """The state in which replica i has become replica ``places[i]``."""
        layout = self._layout
        moves = self._by_order.get(places)
        if moves is None or self._width != layout.width:
            if len(self._by_order) > ORDERS_MAX:
                self._by_order.clear()
            # Slots that never varied hold the same value everywhere, and no bits.
            moves = self._by_order[places] = [
                (layout.masks[slot], {}, slot, self._image(slot, places))
                for slot in range(layout.slots)
                if layout.masks[slot]
            ]
        renamed = 0
        for mask, codes, slot, image in moves:
            bits = packed & mask
            code = codes.get(bits)
            if code is None:
                number = self._rename(slot, layout.number_in(packed, slot), places)
                code = codes[bits] = layout.code(image, number)
            renamed += code
        return renamed

    def orbit_size(self, packed: int) -> int:
        """How many states a representative stands for."""
        every = factorial(len(self.replicas))
        shared = self._shares.get(packed & self._shared_mask) or self._share(packed)
        columns = self._columns_of(packed)
        if shared.separable and not packed & self._mutual_mask and min(columns) > 0:
            keys = Counter(map(add, columns, shared.keys))
            return every // prod(factorial(count) for count in keys.values())
        orders = permutations(range(len(self.replicas)))
        return len({self.renamed(packed, order) for order in orders})

    def walk(self, start: int, chain: Sequence[int]) -> list[int]:
        """Concrete states along a chain of representatives, from a concrete one."""
        states = [start]
        for target in chain[1:]:
            following = (packed for _, packed in self._tables.successors(states[-1]))
            found = next((packed for packed in following if self(packed) == target), None)
            if found is None:
                raise self._unlike("another", "no behaviour goes on from", states[-1])
            states.append(found)
        return states

    def images(self, packed: int, one: int | None = None) -> Iterator[tuple[str, int]]:
        """Each other replica's name (or one's), and the state in which the first has its part."""
        among = range(1, len(self.replicas))
        for j in among if one is None or not among else [among[one % len(among)]]:
            yield self.replicas[j], self.renamed(packed, self._exchange(0, j))

    def require_equivariant(self, packed: int, images: Sequence[tuple[str, int]]) -> None:
        """Raise `ModelError` if other states follow some of a state's `images`."""
        mine = Counter(self(state) for _, state in self._tables.successors(packed))
        for name, other in images:
            theirs = Counter(self(state) for _, state in self._tables.successors(other))
            if mine != theirs:
                raise self._unlike(name, "exchanged, other states follow", packed)

    def _unlike(self, name: str, why: str, packed: int) -> ModelError:
        return ModelError(
            f"{self.replicas[0]} and {name} are not interchangeable: {why} "
            f"{self._layout.unpack(packed)!r}",
            remedy="check without symmetry, or name only processes that behave alike",
        )
