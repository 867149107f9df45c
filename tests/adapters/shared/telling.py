"""What a prompt says of changes, in each way that a builder can choose: one list for all adapters.

A `judge` looks at every prompt of a run, independently of the code that made it: the text of an
artifact in it is current, or a line says that it is not.
"""

import json

from scenarios import NAME, PLAN, READ, Edit, Read, Write, newest

from coherence.context.notices import NOTICE, heard
from coherence.context.recording import recorded
from coherence.context.telling import Saying

TELLINGS = {}

#: A call of a tool that is about no text.
ELSEWHERE = Read("no.md")


class Stale(AssertionError):
    """A prompt has an outdated text, and does not say so."""


def telling(function):
    TELLINGS[function.__doc__.splitlines()[0].rstrip(".")] = function
    return function


def judge(player):
    """What the model of `player` is about to believe although it is outdated."""
    held = player.in_prompt()
    said = [each for text in player.now for each in heard(text)]
    stale = []
    for name, ref in held.items():
        current = player.workspace.row(name).row.state.version
        signals = [e.ref.version for e in said if e.ref.name == name and e.said is Saying.SIGNAL]
        if current > ref.version and max(signals, default=0) < ref.version:
            stale.append(f"{ref} in the prompt, {name}@{current} is current")
    return stale


def play(driver, *turns):
    """A player that has played the turns, with a judge before each.  Raises `Stale`."""
    stale = []

    def judged(turn):
        def played(player):
            stale.extend(judge(player))
            return turn(player) if callable(turn) else turn

        return played

    coder = driver.agent("coder", *map(judged, turns))
    driver.run(coder)
    if stale:
        raise Stale(stale)
    return coder


def changing(driver, then, line="step 7: as agreed"):
    """A turn before which the planner changes a line of the plan."""
    planner = driver.workspace.agent("planner")

    def turn(player):
        version = planner.read(NAME).version
        planner.update(NAME, lambda text: text.replace(line, f"{line} ({version})"))
        return then

    return turn


def notices(parts):
    """The messages of a prompt that it gained unasked."""
    return [text for text in parts if text.startswith(NOTICE)]


def is_prefix(before, after):
    return after[: len(before)] == before


def planned(driver, on_change):
    driver.workspace.agent("planner").write(NAME, PLAN)
    driver.informing = {"on_change": on_change}


@telling
def differences_stay(driver, tmp_path):
    """A difference is told, stays, and counts as held."""
    planned(driver, "adaptive")
    edit = Edit("step 9:", "step 9, checked:")
    coder = play(driver, READ, changing(driver, ELSEWHERE), ELSEWHERE, READ, edit, "done")
    told = [notices(parts) for parts in coder.parts]
    assert told[0] == told[1] == []
    (said,) = told[2]
    assert 'ref="proj/plan.md@2" since="proj/plan.md@1"' in said
    assert "step 7: as agreed (1)" in said
    assert all(is_prefix(*pair) for pair in zip(coder.parts, coder.parts[1:], strict=False))
    assert told[-1] == told[2], "said once"
    assert f"[{NAME} is unchanged since {NAME}@2]" in coder.answers[3]


@telling
def an_unheeded_difference(driver, tmp_path):
    """A text that ignores the difference that it was told is refused; nothing is lost."""
    planned(driver, "adaptive")
    mine = PLAN.replace("step 9: as agreed", "step 9: mine")
    both = mine.replace("step 7: as agreed", "step 7: as agreed (1)")
    # Where a model names the base of its text, it names what it has read.
    named = ("write_artifact", {"name": NAME, "text": mine, "base": f"{NAME}@1"})
    stale = Write(mine) if driver.partner == "langgraph" else named
    coder = play(driver, READ, changing(driver, ELSEWHERE), stale, Write(both), "done")
    assert "Nothing was written" in coder.answers[2]
    assert "(1)" in coder.answers[2], "what it ignored"
    assert driver.workspace.agent("judge").read(NAME).text == both


@telling
def then_a_signal_then_silence(driver, tmp_path):
    """Too much told in vain, then one signal, then silence, until the agent asks."""
    planned(driver, "adaptive")
    vain = [changing(driver, ELSEWHERE) for _ in range(12)]
    again = [changing(driver, ELSEWHERE), ELSEWHERE]
    coder = play(driver, READ, *vain, ELSEWHERE, READ, *again, "done")
    kinds = [each.said for text in notices(coder.parts[-1]) for each in heard(text)]
    signal = kinds.index(Saying.SIGNAL)
    assert 2 <= signal < 12, "it was told for a while, and not for ever"
    assert kinds[:signal] == [Saying.CHANGE] * signal
    assert kinds[signal + 1 :] == [Saying.CHANGE], "told again, after the agent has asked"
    assert "(12)" in coder.answers[14]
    assert "step 9:" not in coder.answers[14], "the difference from what it was told last"


@telling
def lost_with_the_conversation(driver, tmp_path):
    """What was told and is trimmed away counts no longer: the agent gets the text that it lacks."""
    planned(driver, "adaptive")
    lose = losing(driver, ELSEWHERE)
    coder = play(driver, READ, changing(driver, ELSEWHERE), ELSEWHERE, lose, READ, "done")
    assert notices(coder.parts[2]) == notices(coder.parts[3])
    (told,) = notices(coder.parts[4])
    assert "step 7: as agreed (1)" in told, "it is told again"


def losing(driver, then):
    """A turn after which a told passage that is in the conversation is trimmed away."""

    def turn(player):
        lost = notices(player.now)
        driver.lost = lambda texts: [texts.index(text) for text in lost if text in texts]
        return then

    return turn


@telling
def lost_with_its_base(driver, tmp_path):
    """A told difference whose base is trimmed away proves nothing."""
    planned(driver, "adaptive")

    def lose(player):
        driver.lost = lambda texts: [n for n, text in enumerate(texts) if "step 30:" in text][:1]
        return ELSEWHERE

    coder = play(driver, READ, changing(driver, ELSEWHERE), ELSEWHERE, lose, READ, "done")
    assert "step 7: as agreed (1)" in coder.answers[-1]
    assert "step 30: as agreed" in coder.answers[-1], "the whole text"


@telling
def a_signal_stays(driver, tmp_path):
    """One signal stays, and what follows it keeps its place."""
    planned(driver, "signal")
    vain = [changing(driver, ELSEWHERE) for _ in range(3)]
    coder = play(driver, READ, *vain, READ, "done")
    line = f"{NOTICE}\n{NAME} was changed by planner; you were last shown {NAME}@1."
    assert [notices(parts) for parts in coder.parts] == [[], [], *[[line]] * 4]
    assert all(is_prefix(*pair) for pair in zip(coder.parts, coder.parts[1:], strict=False))


@telling
def a_notice_does_not_stay(driver, tmp_path):
    """A notice stands last in every prompt until the agent asks, and a prefix ends before it."""
    planned(driver, "notice")
    vain = [changing(driver, ELSEWHERE) for _ in range(2)]
    coder = play(driver, READ, *vain, READ, "done")
    line = f"{NOTICE}\n{NAME} was changed by planner; you were last shown {NAME}@1."
    assert [notices(parts) for parts in coder.parts] == [[], [], [line], [line], []]
    assert coder.parts[2][-1] == line
    assert not is_prefix(coder.parts[2], coder.parts[3])
    assert is_prefix(coder.parts[2][:-1], coder.parts[3])


@telling
def a_run_is_recorded(driver, tmp_path):
    """A recording has every call, what its prompt gained and held, and what was asked for."""
    planned(driver, "adaptive")
    edit = Edit("step 9:", "step 9, checked:")
    path = tmp_path / "run.jsonl"
    with recorded(path):
        play(driver, READ, changing(driver, ELSEWHERE), edit, "done")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["coherence"] for event in events if event["coherence"] != "fill"] == [
        *("call", "call", "told", "call", "publish", "call")
    ]
    held = [event["held"] for event in events if event["coherence"] == "call"]
    assert held == [[], [f"{NAME}@1"], [f"{NAME}@2"], [f"{NAME}@3"]]
    (told,) = [event for event in events if event["coherence"] == "told"]
    assert (told["ref"], told["served"]) == (f"{NAME}@2", "delta")


@telling
def a_slot_is_held_in_its_call_only(driver, tmp_path):
    """A slot shows the current text last, in each prompt, and proves nothing afterwards."""
    planned(driver, "slot")
    write = Write(PLAN.replace("step 7: as agreed", "step 7: mine"))
    turns = [READ, changing(driver, ELSEWHERE), changing(driver, ELSEWHERE), write, READ, "done"]
    coder = play(driver, *turns)
    slots = [notices(parts) for parts in coder.parts]
    assert slots[0] == slots[1] == []
    for number in (2, 3):
        (slot,) = slots[number]
        assert coder.parts[number][-1] == slot
        assert f"step 7: as agreed ({number - 1})" in slot
        assert "step 30: as agreed" in slot, "the whole text"
    assert "Nothing was written" not in coder.answers[3], "its text derives from the slot"
    assert slots[4] == slots[5] == []
    assert f"[{NAME} is unchanged since {NAME}@4]" in coder.answers[4]


@telling
def a_read_may_not_build_on_a_slot(driver, tmp_path):
    """A read is answered from what stays in the conversation."""
    planned(driver, "slot")
    turns = [READ, changing(driver, ELSEWHERE), READ, ELSEWHERE, "done"]
    coder = play(driver, *turns)
    assert f'ref="{NAME}@2"' in coder.parts[2][-1]
    assert "unchanged" not in coder.answers[2]
    assert "step 7: as agreed (1)" in coder.answers[2]
    assert newest(coder.answers[2:3]) == f"{NAME}@2"
    assert coder.in_prompt()[NAME].version == 2


def remembering(monkeypatch):
    """A broken variant: what was told once counts as told, whatever the conversation has."""
    from coherence.context import before_call

    changed, told = before_call.changed, {}

    def broken(workspace, shown):
        lines = changed(workspace, {**shown, **told})
        for name in lines:
            ref = shown[name]
            version = workspace.row(name).row.state.version
            told[name] = type(ref)(name, version, ref.workspace)
        return lines

    monkeypatch.setattr(before_call, "changed", broken)
