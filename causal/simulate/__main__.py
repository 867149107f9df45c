"""Entry point of ``python -m causal.simulate``."""

from __future__ import annotations

from causal.simulate.cli import app

if __name__ == "__main__":
    app(prog_name="python -m causal.simulate")
