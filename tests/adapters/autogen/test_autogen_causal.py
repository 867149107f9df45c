"""Causal delivery between agents of autogen-core, on AutoGen's own runtime and over gRPC."""

import asyncio
import json
import random
import socket
from dataclasses import dataclass

import pytest

pytest.importorskip("autogen_core")

from autogen_core import (
    AgentId,
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TypeSubscription,
    message_handler,
)

from causal.history import History
from coherence import BadArgument
from coherence_autogen import CausalRoutedAgent


@dataclass
class Note:
    text: str


@dataclass
class Ask:
    text: str


@dataclass
class Answer:
    text: str


class Worker(CausalRoutedAgent):
    """Handles notes for a random while, and answers some of them by a note of its own."""

    def __init__(self, team, *, seed=0, replies=None, log=None, **options):
        super().__init__("a worker", team=team, **options)
        self.random = random.Random(f"{seed}")
        self.replies = replies or {}
        self.done = []
        self.log = log
        self.dead = []

    async def work(self):
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)

    @message_handler
    async def on_note(self, message: Note, ctx: MessageContext) -> None:
        if self.log is not None:
            self.log.deliver(self.id.type, tuple(message.text.split(":")))
        await self.work()
        if message.text == "bad":
            raise ValueError("a handler's own fault")
        self.done.append(message.text)
        for text in self.replies.pop(message.text, ()):
            await self.say(text)

    @message_handler
    async def on_ask(self, message: Ask, ctx: MessageContext) -> Answer:
        return Answer(",".join(self.done))

    async def say(self, text):
        if self.log is not None:
            self.log.send(self.id.type, tuple(text.split(":")), frozenset(self._team) - {self.type})
        await self.publish_message(Note(text), DefaultTopicId(source=self.id.key))

    async def on_dead_letter(self, message, ctx):
        await super().on_dead_letter(message, ctx)
        self.dead.append(message.text)


class Shuffled(SingleThreadedAgentRuntime):
    """The stock runtime, except that publishes arrive in another order than they are made."""

    def __init__(self, seed):
        super().__init__(ignore_unhandled_exceptions=False)
        self.random = random.Random(seed)
        self.kept = []
        self.keeping = True

    async def publish_message(self, message, topic_id, **options):
        self.kept.append((message, topic_id, options))
        if not self.keeping:
            await self.let_go()

    async def let_go(self):
        self.random.shuffle(self.kept)
        kept, self.kept = self.kept, []
        for message, topic_id, options in kept:
            await super().publish_message(message, topic_id, **options)


async def joined(runtime, team, *, present=None, **options):
    """An agent of each type of the team that is present, subscribed to the default topic."""
    agents = {}
    for seed, name in enumerate(present or team):
        options_of = {k: v(name) if callable(v) else v for k, v in options.items()}
        await Worker.register(runtime, name, lambda s=seed, o=options_of: Worker(team, seed=s, **o))
        await runtime.add_subscription(TypeSubscription("default", name))
        agents[name] = await runtime.try_get_underlying_agent_instance(
            AgentId(name, "default"), Worker
        )
    return agents


def test_twenty_agents_that_hear_in_any_order_handle_in_causal_order(play):
    """m1 causes m2 causes m3; they are published m3, m2, m1, and handlers take random whiles."""
    team = [f"w{n}" for n in range(20)]

    async def chain():
        runtime = Shuffled(0)
        agents = await joined(runtime, team)
        await agents["w0"].say("m1")
        # w1 and w2 know of what came before; nobody else has heard of any of it.
        for name, text in (("w1", "m2"), ("w2", "m3")):
            for message, topic, options in runtime.kept:
                ctx = MessageContext(options["sender"], topic, False, None, options["message_id"])
                await agents[name].on_message(message, ctx)
            await agents[name].say(text)
        known = {name: list(agents[name].done) for name in team}
        runtime.kept.reverse()
        runtime.random.shuffle = lambda kept: None
        assert [message.text for message, *_ in runtime.kept] == ["m3", "m2", "m1"]
        runtime.start()
        runtime.keeping = False
        await runtime.let_go()
        await runtime.stop_when_idle()
        assert known["w1"] == ["m1"]
        assert known["w2"] == ["m1", "m2"]
        for name in team[3:]:
            assert agents[name].done == ["m1", "m2", "m3"]

    play(chain())


@pytest.mark.slow(fast=3)
@pytest.mark.parametrize("seed", range(10))
def test_chatter_in_a_scrambling_runtime_breaks_no_causality(play, seed):
    """Judged by the happens-before oracle; every message is handled by everybody else."""
    team = ["ann", "bob", "cyd", "dan", "eve"]
    rng = random.Random(seed)
    log = History()
    log.team.update(team)
    counts = dict.fromkeys(team, 0)

    def said(name):
        counts[name] += 1
        return f"{name}:{counts[name]}"

    async def chatter():
        runtime = Shuffled(seed)
        agents = await joined(runtime, team, log=log)
        runtime.start()
        for name in team:
            await agents[name].say(said(name))
        for _ in range(20):
            await runtime.let_go()
            for _ in range(rng.randrange(20)):
                await asyncio.sleep(0)
            name = rng.choice(team)
            await agents[name].say(said(name))
        await runtime.let_go()
        await runtime.stop_when_idle()
        return agents

    (agents,) = play(chatter())
    assert log.breaches() == []
    assert log.missing() == []
    total = sum(counts.values())
    assert {name: len(agent.done) for name, agent in agents.items()} == {
        name: total - counts[name] for name in team
    }


def test_the_stock_agent_breaks_it(play):
    """Without us: a reply is handled before what it replies to is done."""

    class Plain(RoutedAgent):
        def __init__(self, slow):
            super().__init__("plain")
            self.slow, self.done = slow, []

        @message_handler
        async def on_note(self, message: Note, ctx: MessageContext) -> None:
            for _ in range(50 if self.slow and message.text == "question" else 0):
                await asyncio.sleep(0)
            self.done.append(message.text)
            if message.text == "question" and not self.slow:
                await self.publish_message(Note("answer"), DefaultTopicId())

    async def talk():
        runtime = SingleThreadedAgentRuntime()
        for name in ("ann", "bob", "cyd"):
            await Plain.register(runtime, name, lambda slow=name == "cyd": Plain(slow))
            await runtime.add_subscription(TypeSubscription("default", name))
        runtime.start()
        await runtime.publish_message(
            Note("question"), DefaultTopicId(), sender=AgentId("ann", "default")
        )
        await runtime.stop_when_idle()
        slow = await runtime.try_get_underlying_agent_instance(AgentId("cyd", "default"), Plain)
        return slow.done

    assert play(talk()) == [["answer", "question"]]


def test_what_is_held_survives_in_another_runtime(play):
    """Bob's reply comes before ann's question; the question comes after a restart."""
    team = ["ann", "bob", "cyd"]

    async def before():
        runtime = Shuffled(0)
        agents = await joined(
            runtime, team, replies=lambda name: {"ann": ["bob"]} if name == "bob" else {}
        )
        await agents["ann"].say("ann")
        (question,) = runtime.kept
        message, topic, options = question
        ctx = MessageContext(options["sender"], topic, False, None, options["message_id"])
        await agents["bob"].on_message(message, ctx)
        runtime.kept.remove(question)
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        assert agents["cyd"].done == []
        return await runtime.save_state(), question

    async def after(state, question):
        runtime = Shuffled(0)
        agents = await joined(runtime, team)
        await runtime.load_state(state)
        runtime.kept.append(question)
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        return agents["cyd"].done

    ((state, question),) = play(before())
    state = json.loads(json.dumps(state))
    assert play(after(state, question)) == [["ann", "bob"]]


def test_what_waits_for_its_turn_survives_too(play):
    """A state saved while a handler is at work has what is ready, and loaded it goes on with it."""
    team = ["ann", "bob"]

    async def before():
        runtime = SingleThreadedAgentRuntime()
        agents = await joined(runtime, team)
        bob = agents["bob"]
        busy, saved = asyncio.Event(), asyncio.Event()

        async def work():
            busy.set()
            await saved.wait()

        bob.work = work
        runtime.start()
        for text in ("one", "two", "three"):
            await agents["ann"].say(text)
        await busy.wait()
        while len(bob._handling.member.ready) != 2:
            await asyncio.sleep(0)
        state = json.loads(json.dumps(await bob.save_state()))
        saved.set()
        await runtime.stop_when_idle()
        return state

    async def after(state):
        runtime = SingleThreadedAgentRuntime()
        agents = await joined(runtime, team)
        await agents["bob"].load_state(state)
        while len(agents["bob"].done) < 2:
            await asyncio.sleep(0)
        return agents["bob"].done

    (state,) = play(before())
    assert play(after(state)) == [["two", "three"]]


def test_what_was_loaded_is_given_up_in_time_as_well(play):
    team = ["ann", "bob"]

    async def lossy():
        runtime = Shuffled(0)
        agents = await joined(runtime, team, hold_s=None)
        await agents["ann"].say("lost")
        runtime.kept.clear()
        await agents["ann"].say("held")
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        state = await agents["bob"].save_state()
        again = (await joined(Shuffled(0), team, hold_s=0.0))["bob"]
        await again.load_state(state)
        while not again.dead:
            await asyncio.sleep(0)
        return again.dead

    assert play(lossy()) == [["held"]]


def test_a_newcomer_starts_from_the_state_of_another(play):
    team = ["ann", "bob", "cyd"]

    async def late():
        runtime = SingleThreadedAgentRuntime()
        agents = await joined(runtime, team, present=["ann", "bob"])
        runtime.start()
        for text in ("one", "two"):
            await agents["ann"].say(text)
        await runtime.stop_when_idle()
        agents |= await joined(runtime, team, present=["cyd"])
        await agents["cyd"].load_state(await agents["bob"].save_state())
        runtime.start()
        await agents["ann"].say("three")
        await runtime.stop_when_idle()
        return agents["cyd"].done

    assert play(late()) == [["three"]]


def test_who_starts_over_from_anothers_state_repeats_no_count(play):
    """Bob has heard less of ann than she has said."""
    team = ["ann", "bob", "cyd"]

    async def again():
        runtime = Shuffled(0)
        agents = await joined(runtime, team)
        state = await agents["bob"].save_state()
        await agents["ann"].say("one")
        await agents["ann"].load_state(state)
        await agents["ann"].say("two")
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        return agents["cyd"].done

    assert play(again()) == [["one", "two"]]


def test_a_lost_message_hangs_nobody_and_its_successors_are_dead_letters(play):
    team = ["ann", "bob"]

    async def lossy():
        runtime = Shuffled(0)
        agents = await joined(runtime, team, hold_s=0.0)
        await agents["ann"].say("lost")
        runtime.kept.clear()
        await agents["ann"].say("held")
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        while not agents["bob"].dead:
            await asyncio.sleep(0)
        return agents["bob"]

    (bob,) = play(lossy())
    assert bob.done == []
    assert bob.dead == ["held"]
    assert bob._handling.member.held == ()


def test_a_handler_that_fails_takes_nobody_with_it(play):
    team = ["ann", "bob", "cyd"]

    async def failing():
        runtime = Shuffled(0)
        agents = await joined(runtime, team)
        for text in ("bad", "good"):
            await agents["ann"].say(text)
        runtime.kept.reverse()  # the good one waits for the bad one, and is handled in its task
        runtime.random.shuffle = lambda kept: None
        runtime.start()
        await runtime.let_go()
        with pytest.raises(ValueError, match="own fault"):
            await runtime.stop_when_idle()
        return agents["bob"].done

    assert play(failing()) == [["good"]]


@pytest.mark.parametrize(("hold_rpc", "heard"), [(False, ""), (True, "news")])
def test_a_direct_message_waits_for_what_its_sender_knew_if_it_is_to(play, hold_rpc, heard):
    team = ["ann", "bob"]

    async def ask():
        runtime = Shuffled(0)
        agents = await joined(runtime, team, hold_rpc=hold_rpc)
        runtime.start()
        await agents["ann"].say("news")
        question = asyncio.create_task(
            agents["ann"].send_message(Ask("what have you heard?"), AgentId("bob", "default"))
        )
        for _ in range(20):
            await asyncio.sleep(0)
        assert question.done() != hold_rpc
        await runtime.let_go()
        answer = await question
        await runtime.stop_when_idle()
        return answer.text

    assert play(ask()) == [heard]


def test_a_direct_message_that_can_never_be_ready_fails(play):
    team = ["ann", "bob"]

    async def ask():
        runtime = Shuffled(0)
        agents = await joined(runtime, team, hold_rpc=True, hold_s=0.0)
        runtime.start()
        await agents["ann"].say("never arrives")
        with pytest.raises(TimeoutError):
            await agents["ann"].send_message(Ask("?"), AgentId("bob", "default"))
        await runtime.stop_when_idle()

    play(ask())


def test_a_direct_message_to_another_session_waits_for_nothing(play):
    team = ["ann", "bob"]

    async def ask():
        runtime = Shuffled(0)
        agents = await joined(runtime, team, hold_rpc=True, hold_s=0.0)
        runtime.start()
        await agents["ann"].say("news of this session")
        answer = await agents["ann"].send_message(Ask("?"), AgentId("bob", "other"))
        await runtime.stop_when_idle()
        return answer.text

    assert play(ask()) == [""]


def test_other_topics_sessions_and_strangers_are_left_alone(play):
    team = ["ann", "bob"]

    async def mixed():
        runtime = SingleThreadedAgentRuntime()
        agents = await joined(runtime, team)
        await runtime.add_subscription(TypeSubscription("aside", "bob"))
        runtime.start()
        await runtime.publish_message(Note("from outside"), DefaultTopicId())
        await agents["ann"].publish_message(Note("aside"), DefaultTopicId("aside", "default"))
        await agents["ann"].publish_message(Note("elsewhere"), DefaultTopicId(source="other"))
        await agents["ann"].say("in the team")
        await runtime.stop_when_idle()
        other = await runtime.try_get_underlying_agent_instance(AgentId("bob", "other"), Worker)
        return agents["bob"].done, other.done

    ((bob, other),) = play(mixed())
    assert sorted(bob) == ["aside", "from outside", "in the team"]
    assert other == ["elsewhere"]


def test_a_publish_that_fails_leaves_no_gap(play):
    team = ["ann", "bob"]

    class Broken(Shuffled):
        async def publish_message(self, message, topic_id, **options):
            if message.text == "refused":
                raise OSError("no way out")
            await super().publish_message(message, topic_id, **options)

    async def failing():
        runtime = Broken(0)
        agents = await joined(runtime, team)
        with pytest.raises(OSError, match="no way out"):
            await agents["ann"].say("refused")
        await agents["ann"].say("sent")
        runtime.start()
        await runtime.let_go()
        await runtime.stop_when_idle()
        return agents["bob"].done

    assert play(failing()) == [["sent"]]


def test_causal_order_over_grpc(play):
    """Each agent in a runtime of its own; the host is one more."""
    pytest.importorskip("grpc")
    from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost

    team = ["ann", "bob", "cyd"]
    answers = {"ann": {"start": ["question"]}, "bob": {"question": ["answer"]}}

    async def apart():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        host = GrpcWorkerAgentRuntimeHost(address)
        host.start()
        runtimes, agents, heard = [], {}, asyncio.Event()

        class Last(Worker):
            async def work(self):
                await super().work()
                if len(self.done) == 2:  # this one is the third
                    heard.set()

        for name in team:
            runtime = GrpcWorkerAgentRuntime(address)
            await runtime.start()

            kind = Last if name == "cyd" else Worker

            def made(name=name, kind=kind):
                agents[name] = kind(team, seed=name, replies=answers.get(name))
                return agents[name]

            await kind.register(runtime, name, made)
            await runtime.add_subscription(TypeSubscription("default", name))
            runtimes.append(runtime)
        await runtimes[0].publish_message(Note("start"), DefaultTopicId())
        await heard.wait()
        for runtime in runtimes:
            await runtime.stop()
        await host.stop()
        return agents["cyd"]

    (cyd,) = play(apart())
    assert [text for text in cyd.done if text != "start"] == ["question", "answer"]


def test_a_team_is_a_list_of_agent_types():
    with pytest.raises(BadArgument, match="give a list of agent types"):
        CausalRoutedAgent("codes", team="coder")
