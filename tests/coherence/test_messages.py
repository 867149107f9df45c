"""Requests that no process could make sense of cannot be made."""

from math import inf, nan

import pytest

from coherence.messages import Abandon, Acquire, Commit, InvalidRequest
from message_passing.errors import CallerError


@pytest.mark.parametrize("wait", [-1, -0.5, nan, inf, -inf, "5", True, 1j])
def test_a_wait_is_a_duration(wait):
    with pytest.raises(InvalidRequest, match="wait is") as caught:
        Acquire(wait)
    assert isinstance(caught.value, CallerError)
    assert "None" in caught.value.remedy


@pytest.mark.parametrize("wait", [None, 0, 0.0, 7, 1e9])
def test_a_wait_may_be_nothing_or_endless(wait):
    assert Acquire(wait).wait == wait


@pytest.mark.parametrize("number", [-1, 2**63, 1.0, "1", None, True])
@pytest.mark.parametrize(
    ("request_of", "name"),
    [
        (lambda number: Commit("text", number), "base"),
        (lambda number: Commit("text", 1, number), "epoch"),
        (Abandon, "epoch"),
    ],
)
def test_versions_and_epochs_count_up_from_0(request_of, name, number):
    with pytest.raises(InvalidRequest, match=f"{name} is") as caught:
        request_of(number)
    assert caught.value.remedy


def test_no_grant_has_epoch_0():
    assert Commit("text", 0, 0).epoch == 0
    with pytest.raises(InvalidRequest, match="epoch is 0"):
        Abandon(0)
