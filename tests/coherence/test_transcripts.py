"""Each transcript comes out as it is written; `--rewrite` writes it as it comes out."""

import play
import pytest

REWRITE = "run: pytest tests/coherence/test_transcripts.py --rewrite, and review the difference"


@pytest.mark.parametrize("path", play.TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path, rewrite):
    text = path.read_text(encoding="utf-8")
    seen = play.played(text)
    if rewrite:
        path.write_text(seen, encoding="utf-8")
    assert seen == text or rewrite, REWRITE
