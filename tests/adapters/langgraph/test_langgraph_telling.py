"""What prompts say of changes, by agents of LangChain."""

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")

from telling import TELLINGS, Stale, lost_with_the_conversation, remembering


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("telling", TELLINGS.values(), ids=TELLINGS)
def test_telling(telling, driver, tmp_path):
    telling(driver, tmp_path)


def test_a_memory_beside_the_conversation_is_caught(driver, tmp_path, monkeypatch):
    remembering(monkeypatch)
    with pytest.raises(Stale):
        lost_with_the_conversation(driver, tmp_path)
