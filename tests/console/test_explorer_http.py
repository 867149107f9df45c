"""The explorer's routes: what they answer, and what they refuse."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import pytest

pytest.importorskip("uvicorn")

from coherence_console.aside import Aside, ModelBusy
from coherence_console.check_process import CheckTask
from coherence_console.checks import RUNNING_MAX, Checks, ChecksBusy, Running
from coherence_console.context import Context
from coherence_console.models import Models
from coherence_console.server import Console, Served
from specs import catalogue
from specs.checker import check
from specs.checker.itf import itf
from specs.examples.die_hard import die_hard
from specs.models.mesi import mesi
from specs.session import Session

LOCK = '''
"""Two models of a user."""
from specs.checker import Model, always

print("a model may print")

def lock(limit: int = 3, mark: str = "") -> Model:
    def actions(n):
        if n < limit:
            yield "up", n + 1
    return Model("lock", [0], actions, [always("small", lambda n: n < 3)])

def endless() -> Model:
    return Model("endless", [0], lambda n: [("up", n + 1)])
'''


HOSTILE = '{"vars":["\u202ex"],"states":[{"\u202ex":"<b>"}]}'.encode()


class Asked:
    """A console, and the answers to requests."""

    def __init__(self, context: Context) -> None:
        self._console = Console(context)
        self._served = Served(self._console)

    def __call__(self, route, /, *pairs, data=None, method=None, **query):
        every = [*pairs, *query.items()]
        request = Request(
            f"http://127.0.0.1:{self._console.port}{route}?{urlencode(every)}",
            data=data,
            method=method,
            headers={"Authorization": f"Bearer {self._console.token}"},
        )
        try:
            with urlopen(request) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, route, /, *pairs, expect=200, **rest):
        status, body = self(route, *pairs, **rest)
        assert status == expect, body
        found = json.loads(body)
        assert found["v"] == 1
        return found

    def close(self):
        self._served.close()


@pytest.fixture(scope="module")
def asked():
    made = Asked(Context())
    yield made
    made.close()


@pytest.fixture
def own(tmp_path):
    """A console of a user's file, and the file."""
    file = tmp_path / "own_lock.py"
    file.write_text(LOCK)
    made = Asked(Context(model=str(file)))
    yield made, file
    made.close()


def ended(asked, key):
    """The job, when it has ended: the stream tells."""
    request = Request(
        f"http://127.0.0.1:{asked._console.port}/api/checks/events?id={key}",
        headers={"Authorization": f"Bearer {asked._console.token}"},
    )
    with urlopen(request, timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                job = json.loads(line[6:])
                if job["state"] != "running":
                    return job
    raise AssertionError("the stream ended first")


def start(asked, **task):
    return asked.json("/api/checks", data=json.dumps(task).encode(), method="POST")["id"]


def test_every_model_is_listed(asked):
    listed = asked.json("/api/models")["models"]
    assert [each["name"] for each in listed] == catalogue.names()
    cases = next(each for each in listed if each["name"] == "mesi")["cases"]
    assert {"settings": {"broken": "swmr"}}.items() <= next(
        case for case in cases if case["settings"].get("broken") == "swmr"
    ).items()


@pytest.mark.slow(fast=5)
@pytest.mark.parametrize("name", catalogue.names())
def test_every_pinned_case_opens(asked, name):
    for case in next(m for m in asked.json("/api/models")["models"] if m["name"] == name)["cases"]:
        sets = [("set", f"{key}={value}") for key, value in case["settings"].items()]
        shown = asked.json("/api/explorer", *sets, model=name)
        assert shown["settings"] == case["settings"]
        assert shown["frame"]["path"] == [0]
        assert shown["frame"]["enabled_total"] > 0 or not shown["frame"]["enabled"]


def test_a_place_on_a_path(asked):
    shown = asked.json("/api/explorer", model="mesi", path="0.0.0")
    frame = shown["frame"]
    assert frame["digest"] == Session(mesi()).digest([0, 0, 0])
    assert [each["name"] for each in frame["steps"]] == ["LoadMiss", "GetSSole"]
    assert shown["trouble"] == ""
    assert shown["constants"]["caches"] == "2"


def test_a_path_that_leads_elsewhere_says_so(asked):
    there = asked.json("/api/explorer", model="mesi", path="0.0", at="0" * 16)
    assert "lead elsewhere" in there["trouble"]
    assert there["frame"]["path"] == [0, 0]
    gone = asked.json("/api/explorer", model="mesi", path="0.0.99.1")
    assert "step 2 is action 99" in gone["trouble"]
    assert gone["frame"]["path"] == [0, 0]


def test_a_thousand_steps(asked):
    walked = asked.json("/api/explorer/walk", model="die-hard", steps=1_000, seed=5)
    path = ".".join(map(str, walked["path"]))
    assert len(walked["path"]) == 1_001
    shown = asked.json("/api/explorer", model="die-hard", path=path, at=walked["digest"])
    assert (shown["trouble"], shown["frame"]["steps_from"]) == ("", 900)
    assert len(shown["frame"]["steps"]) == 100


def test_a_check_in_a_process_of_its_own(asked):
    key = start(asked, model="mesi", settings={"broken": "swmr"})
    job = ended(asked, key)
    outcome = job["outcome"]
    finding = next(each for each in outcome["findings"] if each["path"])
    assert (job["state"], outcome["verdict"], finding["name"]) == ("done", "VIOLATED", "swmr")
    path = ".".join(map(str, finding["path"]))
    sets = ("set", "broken=swmr")
    shown = asked.json("/api/explorer", sets, model="mesi", path=path, at=finding["digest"])
    assert shown["trouble"] == ""
    assert shown["frame"]["violated"] == ["swmr"]
    assert shown["outcome"] == outcome, "kept for pages that open later"
    assert asked.json("/api/explorer", model="mesi")["outcome"] is None


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize(
    ("task", "loop"),
    [
        ({"model": "mesi", "settings": {"broken": "swmr", "symmetric": "true"}}, None),
        ({"model": "ping", "settings": {"retries": "false"}}, 2),
    ],
)
def test_paths_of_a_reduction_and_lassos(asked, task, loop):
    reduced = {"symmetry": True} if loop is None else {}
    found = ended(asked, start(asked, **task, **reduced))["outcome"]["findings"]
    finding = next(each for each in found if each["verdict"] == "VIOLATED")
    assert finding["loop"] == loop
    sets = [("set", f"{key}={value}") for key, value in task["settings"].items()]
    path = ".".join(map(str, finding["path"]))
    query = {} if loop is None else {"loop": loop}
    frame = asked.json("/api/explorer", *sets, model=task["model"], path=path, **query)["frame"]
    assert frame.get("closes", True)
    assert bool(frame.get("violated")) is (loop is None)


def test_a_check_is_cancelled(asked):
    key = start(asked, model="mesi", settings={"caches": "3", "live": "true"})
    process = _running(asked, key)._process
    job = asked.json("/api/checks", id=key, method="DELETE")
    assert job["state"] == "cancelled"
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert ended(asked, key)["state"] == "cancelled"
    assert asked.json("/api/checks", id=key, method="DELETE")["state"] == "cancelled"


def _running(asked, key) -> Running:
    # Through the application, as the routes have it.
    routes = asked._console._server.config.app._app.routes
    endpoint = next(r.endpoint for r in routes if r.path == "/api/checks/events")
    return endpoint.__self__.of(key)


def test_a_check_whose_process_is_killed_says_so(asked):
    key = start(asked, model="mesi", settings={"caches": "3", "live": "true"})
    os.kill(_running(asked, key)._process.pid, signal.SIGKILL)
    job = ended(asked, key)
    assert job["state"] == "failed"
    assert "ended by itself, with code -9" in job["message"]


def test_a_budget_ends_a_check(asked):
    key = start(asked, model="mesi", settings={"caches": "3"}, states=500)
    outcome = ended(asked, key)["outcome"]
    assert (outcome["verdict"], outcome["stopped"]) == ("UNDETERMINED", "budget of 500 states")


def test_a_search_finds_the_nearest_state(asked):
    task = {"kind": "search", "model": "die-hard", "field": "1", "operator": "=", "value": "4"}
    found = ended(asked, start(asked, **task))["located"]
    assert len(found["path"]) == 7
    steps = asked.json(
        "/api/explorer/along",
        model="die-hard",
        path=".".join(map(str, found["path"])),
        field="1",
        operator="=",
        value="4",
    )["steps"]
    assert steps == [6]


@pytest.mark.slow
def test_processes_end_with_the_console():
    asked = Asked(Context())
    keys = [start(asked, model="mesi", settings={"caches": "3", "live": "true"}) for _ in "ab"]
    processes = [_running(asked, key)._process for key in keys]
    asked.close()
    assert [each.poll() for each in processes] == [-signal.SIGKILL] * 2


def test_a_check_ends_with_the_process_that_started_it():
    running = Running(CheckTask(model="mesi", settings={"caches": "3", "live": "true"}))
    running._process.stdin.close()
    assert running._process.wait(timeout=60) == 1
    running.join()
    assert running.job.state == "failed"


def test_the_process_ends_well():
    running = Running(CheckTask(model="die-hard"))
    running.join()
    assert running.job.state == "done"
    assert running._process.returncode == 0


def test_only_so_many_at_once():
    checks = Checks(Models(Context()))
    task = CheckTask(model="mesi", settings={"caches": "3", "live": "true"})
    begun, lock, refused = [], threading.Lock(), []

    def begin():
        try:
            job = checks.start(task)
        except ChecksBusy as error:
            refused.append(error)
        else:
            with lock:
                begun.append(job)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    checks.end()
    assert (len(begun), len(refused)) == (RUNNING_MAX, 6 - RUNNING_MAX)
    with pytest.raises(ChecksBusy):
        checks.start(task)


def test_a_file_of_the_command_line(own):
    asked, file = own
    listed = asked.json("/api/models")["models"]
    assert [m["name"] for m in listed if m["named"]] == [f"{file}:lock", f"{file}:endless"]
    name = f"{file}:lock"
    shown = asked.json("/api/explorer", ("set", "limit=4"), model=name, path="0.0.0")
    assert shown["frame"]["enabled"][0]["violates"] == ["small"]
    outcome = ended(asked, start(asked, model=name, settings={"limit": "4"}))["outcome"]
    assert [f["path"] for f in outcome["findings"]] == [[0, 0, 0, 0]]


def test_constants_of_the_command_line():
    asked = Asked(Context(model="mesi", constants={"caches": "3"}))
    assert asked.json("/api/explorer", model="mesi")["settings"] == {"caches": "3"}
    assert asked.json("/api/explorer", ("set", "caches=2"), model="mesi")["settings"] == {
        "caches": "2"
    }
    assert asked.json("/api/explorer", model="die-hard")["settings"] == {}
    asked.close()


def test_no_request_names_code(own, tmp_path):
    asked, _ = own
    other = tmp_path / "other.py"
    ran = tmp_path / "ran"
    other.write_text(f"open({str(ran)!r}, 'w').close()")
    names = [str(other), f"{other}:x", "other", "own_lock:lock", "specs.models.mesi:mesi", "", "os"]
    for name in names:
        assert asked("/api/explorer", model=name)[0] == 400
        task = json.dumps({"model": name}).encode()
        assert asked("/api/checks", data=task, method="POST")[0] == 400
        assert not name or asked("/api/itf", model=name, data=HOSTILE)[0] == 400
    modules = {"model": "die-hard", "modules": ["other"]}
    job = ended(asked, start(asked, **modules))
    assert job["state"] == "done"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("/api/explorer", {}, "'model' is missing"),
        ("/api/explorer", {"model": "nothing"}, "no model 'nothing'"),
        ("/api/explorer", {"model": "mesi", "path": "0.-1"}, "not a path"),
        ("/api/explorer", {"model": "mesi", "path": "0." + "9" * 12}, "not a path"),
        ("/api/explorer", {"model": "mesi", "path": "x"}, "not a path"),
        ("/api/explorer", {"model": "mesi", "path": "\uff11"}, "not a path"),
        ("/api/explorer", {"model": "mesi", "set": "caches"}, "has no value"),
        ("/api/explorer", {"model": "mesi", "set": "caches=x"}, "cannot be a value"),
        ("/api/explorer", {"model": "mesi", "set": "zzz=1"}, "no constant 'zzz'"),
        ("/api/explorer", {"model": "mesi", "set": "broken=zzz"}, "zzz"),
        ("/api/explorer", {"model": "mesi", "only": "z"}, "no process 'z'"),
        ("/api/explorer", {"model": "mesi", "loop": "9"}, "no loop"),
        ("/api/explorer", {"model": "mesi", "loop": "-1"}, "not a whole number"),
        ("/api/explorer/file", {"model": "mesi", "format": "exe"}, "no format"),
        ("/api/explorer/part", {"model": "mesi", "part": "zzz"}, "no part"),
        ("/api/explorer/along", {"model": "mesi", "field": "a", "operator": "eval"}, "no operator"),
        ("/api/explorer/walk", {"model": "mesi", "steps": "1"}, "'seed' is missing"),
    ],
)
def test_requests_without_meaning(asked, path, query, words):
    found = asked.json(path, expect=400, **query)
    assert words in found["message"]


@pytest.mark.parametrize(
    "task",
    [
        b"",
        b"[]",
        b'{"model":1}',
        b'{"model":"mesi","kind":"exec"}',
        b'{"model":"mesi","engine":"gpu"}',
        b'{"model":"mesi","settings":{"zzz":"1"}}',
        b'{"model":"mesi","kind":"search","field":"a","operator":"zz"}',
        b"[" * 100_000,
    ],
)
def test_tasks_without_meaning(asked, task):
    assert asked("/api/checks", data=task, method="POST")[0] == 400


def test_what_is_not_there(asked):
    for path in ("/api/checks", "/api/checks/events", "/api/itf"):
        assert asked(path, id="zzz")[0] == 404


def test_the_path_as_a_file(asked):
    status, text = asked("/api/explorer/file", model="mesi", path="0.0.0", format="itf")
    session = Session(mesi())
    assert (status, text) == (200, itf(session.path([0, 0, 0]), session.slots))
    assert b"<svg" in asked("/api/explorer/file", model="mesi", path="0.0", format="svg")[1]
    drawn = asked("/api/explorer/file", model="mesi", path="0.0.0", format="mermaid")[1]
    assert drawn.startswith(b"sequenceDiagram")


def test_a_trace_comes_in(asked):
    path = check(mesi(broken="swmr")).counterexample
    data = itf(path, mesi().slots)
    taken = asked.json("/api/itf", ("set", "broken=swmr"), model="mesi", data=data)
    assert (len(taken["path"]), taken["id"]) == (len(path.moments), "")
    foreign = asked.json("/api/itf", model="die-hard", data=data)
    assert foreign["path"] == []
    shown = asked.json("/api/itf", id=foreign["id"], step=2)
    assert (shown["step"], shown["steps"], len(shown["frame"]["steps"])) == (2, len(path), 2)
    assert asked("/api/itf", id=foreign["id"], step=99)[0] == 400


def test_a_hostile_trace(asked):
    assert asked("/api/itf", data=b"{" * 100_000)[0] == 400
    assert asked("/api/itf", data=b" " * 5_000_001)[0] == 400
    status, body = asked(
        "/api/itf", data=b'{"vars":["\xe2\x80\xaex"],"states":[{"\xe2\x80\xaex":"<b>"}]}'
    )
    assert status == 200
    shown = asked.json("/api/itf", id=json.loads(body)["id"])
    assert shown["frame"]["state"]["parts"][0]["text"] == '"<b>"'


def test_a_part_of_a_state(asked):
    found = asked.json("/api/explorer/part", ("part", "home"), ("part", "state"), model="mesi")
    assert found["branch"]["type"] == "HomeState"
    assert found["text"] == "HomeState()"


def test_a_state_of_a_megabyte(tmp_path):
    file = tmp_path / "big_model.py"
    file.write_text(
        "from specs.checker import Model\n"
        "big = tuple((f'k{n}', 'x' * 90) for n in range(10_000))\n"
        "other = (*big[:-1], ('k9999', 'y'))\n"
        "model = Model('big', [big], lambda s: [('swap', other if s is big else big)])\n"
    )
    asked = Asked(Context(model=str(file)))
    shown = asked.json("/api/explorer", model=str(file), path="0.0")["frame"]["state"]
    assert len(msgspec.json.encode(shown)) < 300_000
    assert shown["cut"] > 9_000, "what is cut is said"
    assert [(b["name"], b["mark"]) for b in shown["parts"] if b.get("mark")] == [
        ("k9999", "changed")
    ]
    text = asked.json("/api/explorer/part", ("part", "k5000"), model=str(file))["text"]
    assert text == '"' + "x" * 90 + '"'
    asked.close()


def test_a_file_that_fails_is_told(tmp_path):
    file = tmp_path / "broken_model.py"
    file.write_text("raise RuntimeError('no model today')")
    asked = Asked(Context(model=str(file)))
    assert "no model today" in asked.json("/api/models")["trouble"]
    assert asked("/api/explorer", model=str(file))[0] == 400
    assert asked.json("/api/explorer", model="die-hard")["frame"]
    asked.close()


def test_sessions_are_let_go(monkeypatch):
    monkeypatch.setattr("coherence_console.models.SESSIONS_MAX", 2)
    models = Models(Context())
    for caches in range(1, 6):
        settings = {"caches": str(caches)}
        assert models.ask("mesi", settings, lambda session: session.places([0]))
    assert len(models._explored) == 2
    models.end()
    with pytest.raises(ModelBusy, match="is ending"):
        models.ask("mesi", settings, len)


HANGS = """
from threading import Event
from specs.checker import Model
def actions(n):
    if n:
        Event().wait()
    yield "go", 1
hangs = Model("hangs", [0], actions)
"""


@pytest.mark.slow
def test_a_model_that_never_answers_holds_up_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Aside.__init__, "__defaults__", (1.0,))
    file = tmp_path / "hangs_here.py"
    file.write_text(HANGS)
    asked = Asked(Context(model=str(file)))
    found = asked.json("/api/explorer", model=str(file), path="0.0", expect=400)
    assert found["code"] == "model-busy"
    assert asked.json("/api/explorer", model="die-hard")["frame"]
    monkeypatch.setattr(Aside.__init__, "__defaults__", (600.0,))
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(asked("/api/explorer", model="die-hard", path="0.0"))
    )
    aside = Aside()
    held = threading.Event()
    refused = []

    def hold():
        try:
            aside.ask(lambda: (held.set(), threading.Event().wait()))
        except ModelBusy as error:
            refused.append(error)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait()
    aside.end()
    holding.join()
    assert len(refused) == 1
    waiting.start()
    waiting.join()
    assert answers[0][0] == 200
    asked.close()


@pytest.mark.slow(fast=1)
@pytest.mark.parametrize("raised", ["SystemExit(3)", "RecursionError()", "KeyError('x')"])
def test_a_model_that_raises_is_an_answer(tmp_path, raised):
    file = tmp_path / f"raises_{raised[:5]}.py"
    file.write_text(
        "from specs.checker import Model, always\n"
        f"def view(n):\n    raise {raised}\n"
        "rude = Model('rude', [0], lambda n: [], [always('x', lambda v: True)], view=view)\n"
    )
    asked = Asked(Context(model=str(file)))
    found = asked.json("/api/explorer", model=str(file), expect=400)
    assert found["code"] == "model-raised"
    assert raised.partition("(")[0] in found["message"]
    job = ended(asked, start(asked, model=str(file)))
    assert job["state"] == "failed"
    asked.close()


def test_what_a_call_aside_raises_is_raised():
    aside = Aside()
    with pytest.raises(TimeoutError, match="own"):
        aside.ask(lambda: (_ for _ in ()).throw(TimeoutError("its own")))
    with pytest.raises(ZeroDivisionError):
        aside.ask(lambda: 1 / 0)
    assert aside.ask(lambda: 5) == 5
    aside.end()


def test_a_file_is_run_once_for_all_requests(tmp_path):
    file = tmp_path / "counted.py"
    log = tmp_path / "log"
    file.write_text(
        f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\n"
        "from specs.examples.die_hard import die_hard\nmodel = die_hard()"
    )
    asked = Asked(Context(model=str(file)))
    for _ in range(3):
        asked.json("/api/explorer", model=str(file))
    assert Path(log).read_text() == "x"
    assert die_hard().name == "die-hard"
    asked.close()
