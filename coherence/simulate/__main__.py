"""Entry point of ``python -m coherence.simulate``."""

from __future__ import annotations

from coherence.simulate.cli import app

if __name__ == "__main__":
    app(prog_name="python -m coherence.simulate")
