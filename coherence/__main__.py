"""Entry point of ``python -m coherence``."""

from __future__ import annotations

from coherence.cli import main

if __name__ == "__main__":
    main("python -m coherence")
