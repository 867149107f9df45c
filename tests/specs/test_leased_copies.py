"""The idea of the protocol: our model of it and TLC's."""

from pathlib import Path

import pytest

from specs import proofs, tlc
from specs.checker import check
from specs.models.leased_copies import leased_copies

MODELS = {
    "MCLeasedCopies": {},
    "MCLeasedCopiesLazy": {"commits": 2, "strict": False, "leases": False},
}


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("config", MODELS)
def test_both_have_as_many_states(config):
    pinned, result = proofs.run_of(config), check(leased_copies(**MODELS[config]))
    assert (result.distinct, result.depth + 1) == (pinned.distinct, pinned.depth)


def test_the_page_shows_the_actions_that_are_checked():
    page = (Path(tlc.TLA).parents[1] / "docs" / "proofs.md").read_text(encoding="utf-8")
    shown = page.split("```tla\n")[1].split("\n```")[0]
    assert shown in (tlc.TLA / "LeasedCopies.tla").read_text(encoding="utf-8")
    assert shown.startswith("(* An agent and its copy. *)")
    assert shown.endswith("Commit(c) \\/ Return(c)")
