"""The decision before a call: truth is in the conversation, and only costs are remembered."""

import pytest

from coherence import BadArgument, Ref, View
from coherence.contents import Limits, check_content
from coherence.context.evidence import passage, shown
from coherence.context.informing import CONVERSATIONS_MAX, LIST_RATES, Informer, Prompt
from coherence.context.notices import NOTICE, heard, outdated
from coherence.context.telling import Rates, Saying
from coherence.view import Served

NAME = "plan.md"
TEXT = "one line of the plan\n" * 50


def ref(version):
    return Ref(NAME, version)


def view(version, have):
    text = TEXT if have is None else f"@@ -1 +1 @@\n-one\n+{version}\n"
    served = Served.HIT if have is None else Served.DELTA
    whole = f"{version}\n{TEXT}"
    return View(
        ref(version),
        whole,
        check_content(whole, Limits()),
        served,
        have,
        "" if have is None else text,
    )


class Talk:
    """A conversation in which the artifact changes before every prompt."""

    def __init__(self, on_change="adaptive", rates=LIST_RATES, informer=None, key="it"):
        self.informer = informer or Informer(lambda text: len(text) // 4, on_change, rates)
        self.key, self.version, self.held = key, 1, 1
        self.texts = [passage(ref(1), TEXT)]

    def prompt(self):
        held = {NAME: ref(self.held)}
        about = [each for text in self.texts for each in heard(text, "read_artifact")]
        return Prompt(self.key, held, held, about, self.texts)

    def changes(self):
        """The artifact changes, and the next prompt is made; what it gains."""
        self.version += 1
        prompt = self.prompt()
        self.informer.begin(prompt)
        lines = {NAME: outdated(ref(self.held), "ann", deleted=False)}
        asks = self.informer.asks(prompt, lines)
        news = self.informer.news(prompt, lines, {ask: view(self.version, ask[1]) for ask in asks})
        if news.text and news.stays:
            self.texts.append(news.text)
            self.held = news.seen[NAME].version if news.told else self.held
        return news

    def reads(self):
        self.texts.append(shown(view(self.version, ref(self.held))))
        self.held = self.version

    def kinds(self, count):
        found = []
        for _ in range(count):
            news = self.changes()
            found += [each.said for each in heard(news.text)] or [Saying.NOTHING]
        return found


def test_it_tells_then_signals_then_is_silent_until_the_agent_asks():
    talk = Talk()
    kinds = talk.kinds(60)
    told = kinds.index(Saying.SIGNAL)
    assert told > 2
    assert kinds == [Saying.CHANGE] * told + [Saying.SIGNAL] + [Saying.NOTHING] * (59 - told)
    talk.reads()
    assert talk.kinds(1) != [Saying.NOTHING]


def test_a_signal_that_was_trimmed_away_is_said_again():
    talk = Talk()
    talk.kinds(60)
    before = len(talk.texts)
    talk.texts = [text for text in talk.texts if "was changed by" not in text]
    assert len(talk.texts) == before - 1
    assert talk.kinds(1) != [Saying.NOTHING]


def test_silence_is_kept_by_who_has_no_memory_of_it():
    """Another process, or one that has forgotten: the signal stands in the conversation."""
    talk = Talk()
    talk.kinds(60)
    talk.informer = Talk().informer
    assert talk.kinds(3) == [Saying.NOTHING] * 3


def test_what_was_not_kept_is_not_counted():
    """A call that failed is repeated, with the same words."""
    talk = Talk()
    first = talk.changes().text
    for _ in range(100):
        talk.texts.pop()
        talk.held, talk.version = 1, 1
        assert talk.changes().text == first


def test_uses_that_write_are_accesses():
    talk = Talk()
    for _ in range(100):
        assert talk.kinds(1) == [Saying.CHANGE]
        talk.version += 1
        talk.texts.append(f'<artifact ref="{NAME}@{talk.version}" seal="0"/>')
        talk.held = talk.version


def test_prices_decide_how_long_it_tells():
    cheap = Talk(rates=Rates(output=0.0, ask_tokens=1, cached=0.0)).kinds(60)
    dear = Talk(rates=Rates(output=50.0, ask_tokens=100)).kinds(60)
    assert cheap.index(Saying.SIGNAL) < dear.index(Saying.SIGNAL)


def test_conversations_do_not_mix_and_their_number_is_bounded():
    informer = Talk().informer
    talks = [Talk(informer=informer, key=n) for n in range(CONVERSATIONS_MAX + 10)]
    assert {tuple(talk.kinds(1)) for talk in talks} == {(Saying.CHANGE,)}
    assert len(informer._spent) == CONVERSATIONS_MAX


@pytest.mark.parametrize(
    ("way", "stays", "words"),
    [
        ("signal", True, ["was changed by ann", ""]),
        ("notice", False, ["was changed by ann"] * 2),
        ("slot", False, ["one line of the plan"] * 2),
    ],
)
def test_the_other_ways(way, stays, words):
    talk = Talk(way)
    for word in words:
        news = talk.changes()
        assert news.stays is stays
        assert word in news.text
        assert news.text.startswith(NOTICE) == bool(word)
    assert bool(news.seen) == (way == "slot")


def test_what_cannot_be_read_is_signalled():
    """Deleted in the meantime, or bytes."""
    talk = Talk()
    talk.version += 1
    prompt = talk.prompt()
    talk.informer.begin(prompt)
    line = outdated(ref(1), "ann", deleted=True)
    assert talk.informer.news(prompt, {NAME: line}, {}).text == f"{NOTICE}\n{line}"


@pytest.mark.parametrize("given", ["shipped", "", None, 7])
def test_bad_ways(given):
    with pytest.raises(BadArgument, match="on_change is"):
        Informer(len, given, LIST_RATES)


@pytest.mark.parametrize("given", [(0.1, 1.25, 5.0), None, "claude"])
def test_bad_rates(given):
    with pytest.raises(BadArgument, match="are not rates"):
        Informer(len, "adaptive", given)
