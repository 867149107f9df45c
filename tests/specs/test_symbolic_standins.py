"""Each law of a symbolic list is that of the real operation, on the same lists."""

import pytest
from hypothesis import given as any_given
from hypothesis import settings
from hypothesis import strategies as st

z3 = pytest.importorskip("z3")

from coherence import directory, entries  # noqa: E402
from coherence.messages import FwdGetS, Refusal  # noqa: E402
from coherence.states import Sharer, Verdict, Waiter  # noqa: E402
from specs.symbolic import standins  # noqa: E402
from specs.symbolic.engine import Execution  # noqa: E402
from specs.symbolic.standins import NONE, REASONS, Copies, Verdicts, WaitingList  # noqa: E402
from specs.symbolic.values import Number, Truth  # noqa: E402

NAMES = range(1, 5)


def given(*strategies):
    """Each example asks the solver: few are enough, for lists of up to four entries."""
    return lambda test: settings(max_examples=30, deadline=None)(any_given(*strategies)(test))


names = st.sampled_from(NAMES)
serials = st.integers(0, 4)
sharers = st.dictionaries(names, serials).map(
    lambda found: tuple(Sharer(cache, serial) for cache, serial in sorted(found.items()))
)
waiter = st.builds(Waiter, names, serials, serials, serials)
queues = st.lists(waiter, unique_by=lambda w: w.cache).map(tuple)
verdict = st.builds(Verdict, names, serials, serials, st.sampled_from(REASONS))
judgements = st.lists(verdict, unique_by=lambda v: v.cache).map(tuple)


def path():
    return Execution(z3.SimpleSolver())


def array(pairs):
    found = NONE
    for cache, value in pairs:
        found = z3.Store(found, cache, value)
    return found


def copies(real, of=None):
    return Copies(of or path(), array((s.cache, s.serial) for s in real))


def queue(real, of=None, meet=lambda name: None):
    fields = [
        array((w.cache, getattr(w, field)) for w in real) for field in ("serial", "have", "digest")
    ]
    places = array((w.cache, place) for place, w in enumerate(real))
    return WaitingList(of or path(), *fields, places, z3.IntVal(len(real)), z3.IntVal(1), meet)


def verdicts(real, forgets=False):
    fields = (
        array((v.cache, v.serial) for v in real),
        array((v.cache, v.version) for v in real),
        array((v.cache, REASONS.index(v.refusal)) for v in real),
    )
    return Verdicts(path(), *fields, forgets)


def number(found):
    if isinstance(found, Number):
        found = found.term
    return found if isinstance(found, int) else z3.simplify(found).as_long()


def listed(symbolic):
    """The entries of symbolic copies, as the real list."""
    held = [(cache, number(z3.Select(symbolic.serials, cache))) for cache in NAMES]
    return tuple(Sharer(cache, serial) for cache, serial in held if serial >= 0)


def queued(symbolic):
    """The waiters of a symbolic queue, in order of their places."""

    def at(field, cache):
        return number(z3.Select(field, cache))

    present = [cache for cache in NAMES if at(symbolic.serials, cache) >= 0]
    present.sort(key=lambda cache: at(symbolic.places, cache))
    fields = (symbolic.serials, symbolic.have, symbolic.digests)
    return tuple(Waiter(cache, *(at(field, cache) for field in fields)) for cache in present)


def test_every_operation_of_the_directory_has_a_stand_in():
    used = {
        name
        for name, value in vars(directory).items()
        if getattr(value, "__module__", "") == entries.__name__
    }
    assert used == set(standins.OPERATIONS)


def test_the_shipped_operations_are_back_after_a_proof():
    before = dict(vars(directory))
    with standins.installed():
        assert directory.known is standins.known
    assert dict(vars(directory)) == before


@given(sharers)
def test_a_list_is_true_if_it_has_an_entry(real):
    assert bool(copies(real)) == bool(real)


@given(queues)
def test_a_queue_is_true_if_an_agent_waits(real):
    assert bool(queue(real)) == bool(real)


@given(sharers, names)
def test_known(real, cache):
    assert number(standins.known(copies(real), cache)) == entries.known(real, cache)


@given(sharers, st.sampled_from((0, *NAMES)))
def test_any_other(real, cache):
    found = standins.any_other(copies(real), cache)
    assert isinstance(found, Truth)
    assert bool(found) == entries.any_other(real, cache)


@given(sharers, names, serials)
def test_including(real, cache, serial):
    expected = entries.including(real, cache, serial)
    assert listed(standins.including(copies(real), cache, serial)) == expected


@given(names, serials)
def test_including_in_an_empty_list(cache, serial):
    found = standins.including((), cache, Number(path(), z3.IntVal(serial)))
    assert listed(found) == entries.including((), cache, serial)


@given(sharers, names)
def test_without(real, cache):
    assert listed(standins.without(copies(real), cache)) == entries.without(real, cache)


@given(queues, names)
def test_without_of_a_queue(real, cache):
    assert queued(standins.without(queue(real), cache)) == entries.without(real, cache)


@given(sharers, sharers)
def test_merged(real, more):
    assert listed(standins.merged(copies(real), copies(more))) == entries.merged(real, more)


@given(sharers, sharers)
def test_remaining(real, gone):
    found = standins.remaining(copies(real), copies(gone))
    assert listed(found) == entries.remaining(real, gone)


@given(sharers)
def test_to_each(real):
    (found,) = standins.to_each(copies(real), FwdGetS())
    reached = [c for c in NAMES if number(z3.Select(found.copies, c)) >= 0]
    assert [(send.dst, send.message) for send in entries.to_each(real, FwdGetS())] == [
        (cache, found.message) for cache in reached
    ]


@given(queues, names)
def test_waiting(real, cache):
    assert number(standins.waiting(queue(real), cache)) == entries.waiting(real, cache)


@given(queues, waiter)
def test_joined(real, new):
    assert queued(standins.joined(queue(real), new)) == entries.joined(real, new)


@given(queues.filter(bool))
def test_next_of(real):
    """The law allows the real first, and with it the real rest, and none behind cache 1."""
    of = path()
    first, rest = standins.next_of(queue(real, of))
    expected, others = entries.next_of(real)
    same = z3.And([first.cache.term == expected.cache, first.serial.term == expected.serial])
    assert of.is_possible(same)
    places = [w.cache for w in real]
    behind = places[places.index(1) + 1 :] if 1 in places else []
    assert not any(of.is_possible(first.cache.term == cache) for cache in behind)
    of.assume(same)
    assert all(not of.is_possible(z3.Select(rest.serials, w.cache) != w.serial) for w in others)
    assert not of.is_possible(z3.Select(rest.serials, expected.cache) != -1)


@given(judgements, names)
def test_judged(real, cache):
    found, expected = standins.judged(verdicts(real), cache), entries.judged(real, cache)
    assert (found is None) == (expected is None)
    if found is not None:
        assert number(found.serial) == expected.serial
        assert number(found.version) == expected.version
        assert found.refusal is expected.refusal


@given(judgements, verdict)
def test_remembering_with_memory_for_all(real, new):
    found = standins.remembering(verdicts(real), new, 64)
    for cache in NAMES:
        expected = entries.judged(entries.remembering(real, new, 64), cache)
        shown = number(z3.Select(found.serials, cache))
        assert shown == (-1 if expected is None else expected.serial)
        if expected is not None:
            assert number(z3.Select(found.versions, cache)) == expected.version
            reason = number(z3.Select(found.reasons, cache))
            assert REASONS[reason] is expected.refusal


@given(judgements, verdict, st.integers(1, 4))
def test_remembering_with_little_memory(real, new, memory):
    """A real list with little memory is one of those that the law allows."""
    symbolic = verdicts(real, forgets=True)
    found = standins.remembering(symbolic, new, memory)
    kept = entries.remembering(real, new, memory)
    held = [entries.judged(kept, cache) for cache in NAMES]
    same = [
        z3.Select(found.serials, cache) == (-1 if of is None else of.serial)
        for cache, of in zip(NAMES, held, strict=True)
    ]
    assert symbolic.path.is_possible(z3.And(same))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=4))
def test_largest(values):
    of = path()
    found = standins.largest(*[Number(of, z3.IntVal(value)) for value in values])
    assert number(found) == max(values)


def test_reasons_are_those_of_a_judgement():
    assert set(REASONS) == {None, *Refusal} - {Refusal.DEADLINE}
