"""Two figures: the gain of eager sending, and its cost at a popular agent.

Needs matplotlib, which comes with the extra ``report``.
"""

from __future__ import annotations

from pathlib import Path

from causal.simulate import jobs, loads
from message_passing.errors import EnvironmentFault


class NoMatplotlib(EnvironmentFault):
    """The drawing library is not installed."""

    remedy = "pip install matplotlib"


def draw(path: Path, *, duration: float = 1_000.0) -> None:
    """Write both figures to one file; its suffix is the format (svg, png, pdf).

    Raises `NoMatplotlib`, or `EnvironmentFault` if the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlib("matplotlib is not installed") from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    gain, wait = figure.subplots(1, 2)
    lengths = [10 ** (step / 8) for step in range(-8, 17)]
    for protocol in ("mf95", "cykas", "hybrid"):
        spans = [jobs.run(protocol, "fan-out", 8, length).makespan_rtt for length in lengths]
        gain.plot(lengths, spans, label=protocol)
    gain.set(xscale="log", yscale="log", title="Fan-out of eight jobs")
    gain.set(xlabel="length of a job, round trips", ylabel="all reported, round trips")
    rates = [step / 4 for step in range(1, 11)]
    for protocol in ("cykas", "hybrid"):
        runs = [loads.fan_in(protocol, rate=rate, duration=duration) for rate in rates]
        wait.plot(rates, [run.wait_mean_rtt for run in runs], "o", label=protocol)
    formula = [loads.fan_in_formula(rate) for rate in rates]
    wait.plot(rates, formula, label="(e^λ − 1 − λ) / λ")
    wait.set(title="A popular agent", xlabel="secrets a round trip, λ", ylabel="mean wait")
    for axes in (gain, wait):
        axes.legend()
    try:
        # No date in the file: equal runs, equal bytes.
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"{path}: {error}") from error
