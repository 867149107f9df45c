"""The cost of messages in tokens, decided in this one place.

The measure is the Token Coherence paper's (arXiv 2603.15183): tokens of artifact text, or of words
about it, that reach an agent.  Requests and acknowledgements are free.

==========  =====================================================  ==============================
effect      charged for                                            tokens
==========  =====================================================  ==============================
full        `Data` with the whole text                             the text's
delta       `Data` with a difference, where that is smaller        the difference's
stub        `Data` that says *unchanged*                           `STUB_TOKENS`
push        `Update` with the text                                 the text's
pointer     `Update` that only says that there is a new version    `POINTER_TOKENS`
signal      `Inv`                                                  `SIGNAL_TOKENS`
==========  =====================================================  ==============================

A `Counter`, a port, counts the tokens of a text.  `Estimate` has no dependencies, and its label
says that it estimates; `exact` counts as a model's tokenizer does and needs the extra ``tokens``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from coherence.messages import Data, Inv, Message, Update, Version
from message_passing.errors import EnvironmentFault

#: One "your copy is out of date" (the paper's figure).
SIGNAL_TOKENS = 12
#: One reference in place of a text (the paper's figure).
POINTER_TOKENS = 8
#: One "unchanged".  The paper has no such answer; a signal's worth of words.
STUB_TOKENS = 12


class TokenizerMissing(EnvironmentFault):
    """An exact tokenizer was asked for and cannot be loaded."""


class Counter(Protocol):
    """Counts the tokens of a text."""

    #: How the count is made, for a reader of the figure.
    label: str

    def count(self, text: str) -> int:
        """The number of tokens in `text`; never negative, 0 for an empty text."""
        ...


class Estimate:
    """About four bytes of UTF-8 a token: right within a third or so for English and code."""

    label = "estimate: 4 bytes a token"

    def count(self, text: str) -> int:
        """Bytes over four, rounded up."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


class _Exact:
    def __init__(self, encoding: str, encode: Callable[[str], list[int]]) -> None:
        self.label = f"exact: tiktoken {encoding}"
        self._encode = encode

    def count(self, text: str) -> int:
        return len(self._encode(text))


def exact(encoding: str = "o200k_base") -> Counter:
    """A counter that counts as the model's tokenizer does.

    Raises `TokenizerMissing` if tiktoken is not installed or cannot get its vocabulary, which it
    fetches at its first use.
    """
    try:
        import tiktoken

        tokenizer = tiktoken.get_encoding(encoding)
    except ImportError as error:
        raise TokenizerMissing(
            "tiktoken is not installed", remedy="pip install tiktoken"
        ) from error
    except Exception as error:
        raise TokenizerMissing(
            f"tiktoken has no vocabulary {encoding!r}: {error}",
            remedy="go online once, or point TIKTOKEN_CACHE_DIR at a stored vocabulary",
        ) from error
    return _Exact(encoding, lambda text: tokenizer.encode(text, disallowed_special=()))


Sizes = Callable[[Version, Version], int]
"""(version, base) -> tokens of that version, sent whole if `base` is 0, else as a difference."""


@dataclass
class Charges:
    """Tokens charged so far, by kind of message."""

    #: Texts and differences that were asked for.
    fetch: int = 0
    #: Texts and pointers that were sent unasked.
    push: int = 0
    #: Signals that a copy is out of date.
    invalidation: int = 0
    #: Answers of "unchanged".
    stub: int = 0

    @property
    def total(self) -> int:
        """The sum of all kinds."""
        return self.fetch + self.push + self.invalidation + self.stub

    def charge(self, message: Message, sizes: Sizes) -> None:
        """Charge for one message from home to a cache, even if the network loses it."""
        kind = type(message)
        if kind is Data:
            assert isinstance(message, Data)
            if message.content is None:
                self.stub += STUB_TOKENS
            else:
                self.fetch += sizes(message.version, message.base)
        elif kind is Inv:
            self.invalidation += SIGNAL_TOKENS
        elif kind is Update:
            assert isinstance(message, Update)
            if message.content is None:
                self.push += POINTER_TOKENS
            else:
                self.push += sizes(message.version, message.base)
