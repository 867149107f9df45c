"""The recordings of endpoints: a run of real endpoints, seen afterwards."""

import asyncio
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from causal import AsyncEndpoint, Endpoint, MemoryHub, Recorder
from causal.account import Accounts, accounts
from causal.explain import app
from causal.recorder import Unrecorded
from message_passing.trace import header, merged, read

TEAM = ("ann", "bob", "cat")
SECRET = b"the password is 4711"


async def conversation(recorder: Recorder | None, messages: int = 40) -> dict[str, list[str]]:
    """What each endpoint has delivered, as names of messages."""
    hub = MemoryHub()
    draw = random.Random(7)
    delivered: dict[str, list[str]] = {name: [] for name in TEAM}
    team = {
        name: AsyncEndpoint(name, TEAM, hub.transport(), recorder=recorder, inbox_max=1000)
        for name in TEAM
    }
    for endpoint in team.values():
        await endpoint.open()
    for _ in range(messages):
        src, dst = draw.sample(TEAM, 2)
        await team[src].send(dst, SECRET)
        if draw.random() < 0.3:
            await asyncio.sleep(0)
    for endpoint in team.values():
        await endpoint.flush()
    for name, endpoint in team.items():
        await endpoint.close()
        async for found in endpoint.deliveries():
            delivered[name].append(f"{found.src}{found.id}")
    return delivered


def book_of(folder: Path) -> Accounts:
    return accounts(merged([(header(file), read(file)) for file in sorted(folder.iterdir())]))


def test_every_message_of_a_run_has_its_send_and_its_delivery(tmp_path: Path) -> None:
    with Recorder(tmp_path / "runs") as recorder:
        delivered = asyncio.run(conversation(recorder))
    book = book_of(tmp_path / "runs")
    assert len(book.messages) == sum(map(len, delivered.values())) == 40
    for name, names in delivered.items():
        mine = sorted((m for m in book if m.dst == name), key=lambda m: m.delivered or 0.0)
        assert [m.name for m in mine] == names, "the order in which the application took them"
    for m in book:
        assert m.sent <= (m.went or 0) <= (m.arrived or 0) <= (m.delivered or 0)
    assert any(m.eager for m in book)
    assert any(m.secrets for m in book)
    assert not book.undelivered["ann"]


def test_no_payload_is_in_the_files(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        asyncio.run(conversation(recorder, 5))
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert SECRET not in content
        assert f'"payload":{len(SECRET)}'.encode() in content


def test_the_files_are_of_one_clock_which_they_name(tmp_path: Path) -> None:
    for _ in range(2):  # as two processes of one computer
        with Recorder(tmp_path) as recorder:
            asyncio.run(conversation(recorder, 3))
    heads = [header(file) for file in tmp_path.iterdir()]
    assert len(heads) == 6, "an endpoint that comes back has another file"
    assert len({head.about["clock"] for head in heads if head}) == 1
    assert {head.about["endpoint"] for head in heads if head} == set(TEAM)
    assert len({head.start for head in heads if head}) == 2
    lines = merged([(header(file), read(file)) for file in tmp_path.iterdir()])
    assert min(line.moment for line in lines) >= 0.0


def test_the_table_of_a_recorded_run(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        asyncio.run(conversation(recorder, 10))
    done = CliRunner().invoke(app, [str(file) for file in sorted(tmp_path.iterdir())])
    assert done.exit_code == 0, done.output
    assert "messages 10, undelivered 0" in done.output


def test_a_recorder_that_is_closed_changes_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.close()
    assert asyncio.run(conversation(recorder)) == asyncio.run(conversation(None))


@pytest.mark.parametrize("name", ["../ann", "a/b", ".."])
def test_a_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    with Recorder(tmp_path / "runs") as recorder:
        AsyncEndpoint(name, (name, "bob"), MemoryHub().transport(), recorder=recorder)
    (file,) = (tmp_path / "runs").iterdir()
    assert header(file).about["endpoint"] == name
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_ends_the_recording_and_not_the_endpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in TEAM:
        (tmp_path / f"{name}.ndjson").symlink_to("/dev/full")

    class Overwriting(Recorder):
        def _file(self, name):
            return (self.folder / f"{name}.ndjson").open("wb", buffering=0)

    with Overwriting(tmp_path) as recorder, pytest.raises(Unrecorded, match="No space"):
        asyncio.run(conversation(recorder))

    class Later(Overwriting):
        def _file(self, name):
            (self.folder / f"{name}.ndjson").unlink()
            return (self.folder / f"{name}.ndjson").open("w+b")

        def core(self, machine):
            core = super().core(machine)
            core._file.close()
            core._file = open("/dev/full", "wb")  # noqa: SIM115
            return core

    with Later(tmp_path) as recorder:
        delivered = asyncio.run(conversation(recorder, 200))
    assert sum(map(len, delivered.values())) == 200
    assert "recording" in caplog.text


def test_an_endpoint_that_blocks_is_recorded_as_well(tmp_path: Path) -> None:
    transport = MemoryHub().transport()
    with Recorder(tmp_path) as recorder, Endpoint("solo", ["solo"], transport, recorder=recorder):
        pass
    (file,) = tmp_path.iterdir()
    assert header(file).about["protocol"] == "hybrid"
