"""The two cursors against a reading of everything."""

from hypothesis import given
from hypothesis import strategies as st

from causal.open_entries import OpenEntries
from message_passing.process import Value


class Item(Value, frozen=True, gc=False, tag=True):
    party: int
    open: bool = True


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.randoms()), max_size=50))
def test_it_knows_what_is_older(changes: list) -> None:  # type: ignore[type-arg]
    entries: OpenEntries[Item] = OpenEntries()
    begun: dict[int, int] = {}  # every count that belongs to a party
    still: set[int] = set()
    barred: set[int] = set()  # had something older of another party in front when it began
    passed: list[int] = []
    for party, closing, rng in changes:
        if closing and still:
            # Any open entries may close at once, the oldest or not.
            gone = {key for key in still if rng.random() < 0.5}
            still -= gone
            window = entries.window
            for key in gone:
                window = window.put(key, Item(begun[key], open=False))
            entries = OpenEntries(
                window, entries.next, entries.first, entries.party, entries.second
            )
            entries, now = entries.advance(lambda _, item: not item.open)
            for key, _ in now:
                # Whoever is passed has nothing open before it that belongs to another party.
                older = [k for k in still if k < key and begun[k] != begun[key]]
                assert not older
                passed.append(key)
        elif rng.random() < 0.2:
            entries = entries.skip()
        else:
            begun[entries.next] = party
            if any(begun[key] != party for key in still):
                barred.add(entries.next)
            still.add(entries.next)
            entries = entries.append(Item(party))
        for other in range(5):
            older = [key for key in still if begun[key] != other]
            assert entries.older(other) == min(older, default=entries.next)
        assert (entries.first == entries.next) == (not still)
    # Each cursor passes an entry once, and nothing that has become free is left out.
    assert all(passed.count(key) <= 2 for key in passed)
    for key in barred:
        if not any(k < key and begun[k] != begun[key] for k in still):
            assert key in passed
