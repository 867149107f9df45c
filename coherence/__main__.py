"""Entry point of ``python -m coherence``."""

from __future__ import annotations

from coherence.cli import app

if __name__ == "__main__":
    app(prog_name="python -m coherence")
