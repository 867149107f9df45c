"""A machine that an application supplies is modelled and simulated by its name, and run."""

import subprocess
import sys

import pytest

OWN = '''
from causal.sender_side import SenderSide


class Patient(SenderSide):
    """Nothing goes out while an earlier message is undelivered."""

    name = "patient"

    def waits_for(self, state, own):
        return frozenset()

    def may_go(self, state, own):
        return not self.precedes(state, own)


class Hasty(SenderSide):
    """Each pair keeps its order, and no other order is kept."""

    name = "hasty"

    def waits_for(self, state, own):
        return frozenset()

    def eager(self, state, own):
        return False, ()
'''


RUNS = """
import asyncio

import own
from causal import AsyncEndpoint, MemoryHub


async def main():
    hub, team = MemoryHub(), ("ann", "bob")
    ann = AsyncEndpoint("ann", team, hub.transport(), machine=own.Patient)
    bob = AsyncEndpoint("bob", team, hub.transport(), machine=own.Patient)
    async with ann, bob:
        await ann.send("bob", b"step 1")
        async for message in bob.deliveries():
            print(message.src, message.payload)
            return


asyncio.run(main())
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "runs.py").write_text(RUNS)

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_it_is_modelled(run):
    code, said = run("specs", "--import", "own", "check", "causal", "--protocol", "patient")
    assert (code, "causal-patient: HOLDS" in said) == (0, True), said
    code, said = run("specs", "check", "causal", "--protocol", "hasty", "--import", "own")
    assert code == 1
    assert "VIOLATED      always 'causal delivery'" in said
    _, said = run("specs", "--import", "own", "check", "joined", "--protocol", "patient")
    assert "HOLDS         always 'no word beside a stale copy'" in said


@pytest.mark.slow
def test_it_is_simulated(run):
    given = ("-p", "patient", "--rate", "2")
    code, said = run("causal.simulate", "--import", "own", "fan-in", *given)
    assert (code, "patient" in said) == (0, True), said
    assert run("causal.simulate", "fan-in", "--import", "own", *given) == (0, said)


def test_an_endpoint_runs_it(run):
    assert run("runs") == (0, "ann b'step 1'\n")


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    "arguments",
    [
        ("specs", "check", "causal", "--protocol", "patient"),
        ("specs", "check", "joined", "--protocol", "patient"),
        ("causal.simulate", "fan-in", "-p", "patient"),
    ],
)
def test_without_its_module_it_is_unknown(run, arguments):
    code, said = run(*arguments)
    assert code == 2
    assert "import the module that defines it; a command does with --import MODULE" in said


def test_a_machine_that_only_broadcasts_carries_no_words(run):
    code, said = run("specs", "check", "joined", "--protocol", "bss91")
    assert code == 2
    assert "no protocol 'bss91' for unicast messages" in said
