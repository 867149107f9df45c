"""The two ways round a step lead where the step leads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherence import Recorder, Workspace
from coherence.cache import Cache
from coherence.messages import Inv, Load, Loaded
from coherence.policy import Lazy
from coherence.runtime.caches import READABLE, STABLE, invalidated
from coherence.states import CacheAt, CacheState
from message_passing.process import CancelTimer, Invoke, Receive, Respond

versions = st.integers(0, 4)
states = st.builds(
    CacheState,
    at=st.sampled_from(sorted(CacheAt)),
    version=versions,
    content=st.sampled_from(["text", None]),
    dead_through=st.integers(-1, 4),
    serial=st.integers(0, 9),
    epoch=st.integers(0, 3),
    uses=st.integers(0, 3),
)
policies = st.sampled_from([Lazy(), Lazy(validity=5.0)])


@given(states, st.builds(Inv, stale=versions, ack=st.booleans()), policies)
def test_an_invalidation_leads_where_its_row_leads(state, inv, policy):
    short = invalidated(state, inv)
    if short is None:
        return
    step = Cache(policy).step(state, Receive("home", inv), 0.0)
    assert short == step.state
    # Cancelling a timer that is not armed does nothing; the short way is for when none is.
    assert all(type(command) is CancelTimer for command in step.commands)


@given(st.sampled_from(sorted(STABLE)), versions)
def test_the_short_way_is_taken_where_it_matters(at, version):
    assert invalidated(CacheState(at, version), Inv(version, False)) is not None


@pytest.mark.slow
@given(states.filter(lambda state: state.at in READABLE))
def test_a_hit_is_what_the_row_answers(state):
    step = Cache(Lazy()).step(state, Invoke(Load()), 0.0)
    assert step.state is state or step.state == state
    assert step.commands == (Respond(Loaded(state.version, state.content)),)


def test_a_hit_gives_the_content_that_a_step_gives(rooms):
    (ann,) = rooms.agents("ann")
    ann.write("plan.md", "one")
    served = ann.read("plan.md")
    state = ann._session.caches.state("plan.md")
    assert Cache(Lazy()).hit(state) == Loaded(1, served)
    assert ann.cached("plan.md") is (served if ann._quick else None)


def test_two_agents_of_a_process_share_bytes_not_state():
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "".join(["long ", "text"]))
        assert ann.read("plan.md").content is bob.read("plan.md").content
        assert ann._session.caches.state("plan.md") != bob._session.caches.state("plan.md")


def test_a_content_is_held_from_the_transaction_to_its_delivery(monkeypatch):
    """Whoever held it may let go of it in between, in another thread."""
    with Workspace() as workspace:
        ann, bob = workspace.agent("ann"), workspace.agent("bob")
        ann.write("plan.md", "one")
        caches = workspace._site._shared.caches
        deliver = caches.deliver

        def let_go_first(outcomes):
            ann._session.caches.states.clear()
            caches.contents.clear()
            return deliver(outcomes)

        monkeypatch.setattr(caches, "deliver", let_go_first)
        assert bob.read("plan.md").text == "one"
        monkeypatch.undo()


def test_a_content_is_hashed_only_where_a_hash_will_prove_something(tmp_path):
    def digests(url, **options):
        with Workspace(url, **options) as workspace:
            agent = workspace.agent("ann")
            for text in ("plain", "d\u00e9j\u00e0"):
                agent.write("plan.md", text)
                assert agent.read("plan.md").size_bytes == len(text.encode())
            return [len(entry.handle.digest) for entry in agent.history("plan.md")]

    assert digests("memory://") == [0, 0]
    assert digests(f"sqlite:///{tmp_path}/team.db") == [16, 16]
    with Recorder(tmp_path) as recorder:
        assert digests("memory://", recorder=recorder) == [16, 16]


def test_what_a_process_commits_to_a_file_is_no_news_to_it(tmp_path):
    url = f"sqlite:///{tmp_path}/team.db"
    with Workspace(url) as workspace, Workspace(url) as elsewhere:
        store = workspace._site.store
        ann, bob = workspace.agent("ann"), elsewhere.agent("bob")
        mark = store.mark()
        ann.write("plan.md", "one")
        assert store.mark() == mark
        with store.transaction(publishes=False):
            assert store.mark() == store.mark()  # waits for nobody's transaction
        bob.write("plan.md", "two", overwrite=True)
        ann.write("notes.md", "one")  # looks at the file, and must not hide that bob did, too
        assert store.mark() != mark
        assert ann.read("plan.md").text == "two"
