"""Meanings that collide: a CRDT merges them, a workspace refuses the second.

    pip install pycrdt
    python examples/crdt_beside.py

A CRDT converges without refusing, which is right for people who type and see each other.  Two
agents that each replace a number, or rewrite a text, get a text that neither of them wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import needs

needs.packages("pycrdt")

from pycrdt import Doc, Text

from coherence import Conflict, Workspace

PRICE, PLAN = "price: 200", "# Plan\n1. parse\n"
LOWER, HIGHER = "price: 201", "price: 204"
PLAN_A, PLAN_B = "# Plan of A\n1. parse\n2. print\n", "# Plan of B\n1. scan\n"


def write_passage(doc: Doc[Text], new: str) -> None:
    """Replace the number: what a tool for passages does."""
    text = doc.get("text", type=Text)
    with doc.transaction():
        del text[len("price: ") : len(text)]
        text.insert(len(text), new.removeprefix("price: "))


def write_difference(doc: Doc[Text], new: str) -> None:
    """Turn the text into `new` by the characters that differ."""
    text = doc.get("text", type=Text)
    matcher = difflib.SequenceMatcher(None, str(text), new, autojunk=False)
    with doc.transaction():
        for kind, begin, end, new_begin, new_end in reversed(matcher.get_opcodes()):
            if kind != "equal":
                del text[begin:end]
                text.insert(begin, new[new_begin:new_end])


def write_whole(doc: Doc[Text], new: str) -> None:
    """Replace the whole text: what a tool for files does."""
    text = doc.get("text", type=Text)
    with doc.transaction():
        del text[0 : len(text)]
        text.insert(0, new)


def converged(before: str, write: Callable[[Doc[Text], str], None], *texts: str) -> str:
    """The text of two replicas, once each has got the other's write."""
    origin: Doc[Text] = Doc()
    origin.get("text", type=Text).insert(0, before)
    replicas = [Doc(client_id=number) for number in (1, 2)]
    for replica, text in zip(replicas, texts, strict=True):
        replica.apply_update(origin.get_update())
        write(replica, text)
    one, other = replicas
    one.apply_update(other.get_update(one.get_state()))
    other.apply_update(one.get_update(other.get_state()))
    both = {str(replica.get("text", type=Text)) for replica in replicas}
    (text,) = both
    return text


def refused(before: str, first: str, second: str) -> str:
    """What the second agent is told in a workspace."""
    with Workspace() as workspace:
        one, other = workspace.agent("one"), workspace.agent("other")
        one.write("text", before)
        other.read("text")
        one.write("text", first)
        try:
            other.write("text", second)
        except Conflict as conflict:
            return conflict.summary
    raise AssertionError("a stale write was taken")


if __name__ == "__main__":
    print("A CRDT, where both were told that their write is done:")
    print("  the number replaced: ", repr(converged(PRICE, write_passage, LOWER, HIGHER)))
    print("  what differs replaced:", repr(converged(PRICE, write_difference, LOWER, HIGHER)))
    print("  the text rewritten:  ", repr(converged(PLAN, write_whole, PLAN_A, PLAN_B)))
    print("A workspace, to the second of them:")
    print(refused(PRICE, LOWER, HIGHER))
