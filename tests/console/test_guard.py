"""Who is refused, by a table of requests; and what every answer has."""

from __future__ import annotations

import socket

import pytest
from console_client import Running, shown

from coherence_console.context import Context
from coherence_console.guard import BODY_MAX, URL_MAX
from coherence_console.server import Console, Served

#: What is wrong with a request: headers that differ from those of a good one, the status, the code.
REFUSED = {
    "no host": ({"Host": None}, 400, ""),
    "a host that was rebound to 127.0.0.1": ({"Host": "evil.example"}, 403, "foreign-host"),
    "the host with a port of another": ({"Host": "evil.example:{port}"}, 403, "foreign-host"),
    "another port of ours": ({"Host": "127.0.0.1:1"}, 403, "foreign-host"),
    "a host without its port": ({"Host": "127.0.0.1"}, 403, "foreign-host"),
    "a name that begins like ours": (
        {"Host": "localhost:{port}.evil.example"},
        403,
        "foreign-host",
    ),
    "all addresses": ({"Host": "0.0.0.0:{port}"}, 403, "foreign-host"),
    "a user in the host": ({"Host": "a@127.0.0.1:{port}"}, 403, "foreign-host"),
    "a foreign origin": ({"Origin": "https://evil.example"}, 403, "foreign-origin"),
    "the origin of another port": ({"Origin": "http://127.0.0.1:1"}, 403, "foreign-origin"),
    "our origin over TLS": ({"Origin": "https://127.0.0.1:{port}"}, 403, "foreign-origin"),
    "no origin, as a sandbox has": ({"Origin": "null"}, 403, "foreign-origin"),
    "two origins": (
        {"Origin": ["http://127.0.0.1:{port}", "https://evil.example"]},
        403,
        "foreign-origin",
    ),
    "a page of another site": ({"Sec-Fetch-Site": "cross-site"}, 403, "foreign-site"),
    "a page of another port": ({"Sec-Fetch-Site": "same-site"}, 403, "foreign-site"),
    "two sites": ({"Sec-Fetch-Site": ["none", "cross-site"]}, 403, "foreign-site"),
    "no token": ({"Authorization": None}, 401, "token"),
    "an empty token": ({"Authorization": "Bearer "}, 401, "token"),
    "a wrong token": ({"Authorization": "Bearer wrong"}, 401, "token"),
    "the beginning of the token": ({"Authorization": "Bearer {half}"}, 401, "token"),
    "the token as a password": ({"Authorization": "Basic {token}"}, 401, "token"),
    "the token alone": ({"Authorization": "{token}"}, 401, "token"),
    "the token in a cookie": (
        {"Authorization": None, "Cookie": "token={token}; coherence-token={token}"},
        401,
        "token",
    ),
    "two tokens": ({"Authorization": ["Bearer {token}", "Bearer {token}"]}, 401, "token"),
    "a token of other letters": ({"Authorization": "Bearer \u00fc"}, 401, "token"),
}


def filled(value, shared):
    if isinstance(value, list):
        return [filled(each, shared) for each in value]
    half = shared.token[: len(shared.token) // 2]
    return value and value.format(port=shared.port, token=shared.token, half=half)


@pytest.mark.parametrize("path", ["/api/console", "/api/team/events", "/api/no-such-thing"])
@pytest.mark.parametrize("wrong", REFUSED)
def test_a_request_is_refused(shared, wrong, path):
    headers, status, code = REFUSED[wrong]
    found = shared.send(path, headers={k: filled(v, shared) for k, v in headers.items()})
    assert found.status == status
    if code:
        assert found.json["code"] == code
        assert shared.token not in found.body.decode()


@pytest.mark.parametrize(
    "wrong", [name for name, (_, status, _) in REFUSED.items() if status == 403]
)
@pytest.mark.parametrize("path", ["/", "/team", "/static/app.js"])
def test_the_page_itself_is_refused_to_others(shared, wrong, path):
    headers, _, code = REFUSED[wrong]
    found = shared.send(path, headers={k: filled(v, shared) for k, v in headers.items()})
    assert (found.status, found.json["code"]) == (403, code)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},
    ],
)
def test_a_request_of_ours_is_not_refused(shared, host, headers):
    headers = {name: filled(value, shared) for name, value in {"Host": host, **headers}.items()}
    assert shared.send("/api/console", headers=headers).status == 200


def test_the_page_needs_no_token_and_says_nothing(shared):
    for path in ("/", "/team", "/artifact/plan.md", "/static/app.js"):
        found = shared.send(path, headers={"Authorization": None})
        assert found.status == 200
        assert shared.token.encode() not in found.body
        assert b"step 1" not in found.body


def test_a_forged_post_changes_nothing(shared):
    """As a form or a script of another page sends it: with what a browser adds, and no token."""
    forged = {
        "Authorization": None,
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "cross-site",
        "Content-Type": "text/plain",
    }
    for path in ("/api/checks", "/api/team", "/"):
        assert shared.send(path, method="POST", headers=forged, body=b"{}").status == 403


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "EVIL"])
def test_other_methods(shared, method):
    found = shared.send("/api/console", method=method)
    assert found.status == 405
    assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api/team", "/api/console", "/api/artifact?name=plan.md"])
def test_what_is_only_read_cannot_be_written(shared, method, path):
    assert shared.send(path, method=method, body=b"{}").status == 404


def test_what_is_not_there_is_told_equally(shared):
    answers = {
        shared.send(path).body
        for path in (
            "/api/",
            "/api/nothing",
            "/api/team/",
            "/api/artifact?name=nothing",
            "/api/artifact?name=%00",
            "/api/artifact?name=" + "x" * 2000,
            "/api/artifact?name=..%2F..%2Fetc%2Fpasswd",
            "/api/artifact/content?name=plan.md&version=99",
            "/api/artifact/diff?name=nothing&a=1&b=2",
            "/api/agent?name=nobody",
            "/static/",
            "/static/../shapes.py",
            "/static/%2e%2e/shapes.py",
            "/static/pages",
            "/static/no.js",
        )
    }
    assert len(answers) == 1
    assert shared.send("/api/nothing").status == 404


def test_contents_that_are_not_shown_are_not_there(shared):
    with shown(Context(source=shared.context.source, contents=False)) as running:
        assert running.get("/api/artifact?name=plan.md")["name"] == "plan.md"
        for path in ("content?name=plan.md&version=1", "diff?name=plan.md&a=1&b=2"):
            found = running.send(f"/api/artifact/{path}")
            assert (found.status, b"step" in found.body) == (404, False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/console?" + "x" * URL_MAX, 414),
        ("/api/artifact", 400),
        ("/api/artifact?name=", 404),
        ("/api/artifact/content?name=plan.md", 400),
        ("/api/artifact/content?name=plan.md&version=1.5", 400),
        ("/api/artifact/content?name=plan.md&version=-1", 400),
        ("/api/artifact/content?name=plan.md&version=" + "9" * 40, 400),
        ("/api/artifact/content?name=plan.md&version=%D9%A1", 400),
        ("/api/artifact/diff?name=data.bin&a=0&b=1", 400),
        ("/api/artifact/blame?name=data.bin&version=1", 400),
    ],
)
def test_a_parameter_that_is_wrong(shared, path, status):
    found = shared.send(path)
    assert found.status == status
    assert found.json["v"] == 1


def test_a_body_that_is_too_large(shared):
    found = shared.send("/api/team", method="POST", headers={"Content-Length": str(BODY_MAX + 1)})
    assert found.status == 413
    with socket.create_connection(("127.0.0.1", shared.port), timeout=60) as line:
        line.sendall(
            f"POST /api/team HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\n"
            f"Authorization: Bearer {shared.token}\r\nContent-Length: 1{'0' * 30}\r\n\r\n".encode()
        )
        assert b" 4" in line.recv(100)


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/console", "/api/nothing", "/team"])
def test_every_answer_has_the_headers(shared, path):
    headers = shared.send(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if "/api" in path else "no-cache")
    assert "set-cookie" not in headers
    assert not any(name.startswith("access-control") for name in headers)


def test_a_refusal_has_the_headers_too(shared):
    found = shared.send("/", headers={"Host": "evil.example"})
    assert "default-src 'none'" in found.headers["content-security-policy"]


def test_a_file_is_sent_once(shared):
    first = shared.send("/static/app.js")
    again = shared.send("/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_code_is_given_for_the_token_once(shared):
    console = Console(Context())
    with Served(console):
        running = Running.__new__(Running)
        code = console.url_once.partition("/#code=")[2]
        running.port, running.token = console.port, code
        assert running.send("/api/console").status == 401
        assert running.send("/api/token", headers={"Host": "evil.example"}).status == 403
        assert running.get("/api/token")["token"] == console.token != code
        assert running.send("/api/token").status == 401
        running.token = ""
        assert running.send("/api/token").status == 401
    assert code not in console.url


def test_a_defect_is_told_and_its_place_is_logged(shared, monkeypatch, caplog):
    def fails(store, name):
        raise ZeroDivisionError("in here")

    monkeypatch.setattr("coherence_console.history._history", fails)
    found = shared.send("/api/artifact?name=plan.md")
    assert (found.status, found.json["code"]) == (500, "defect")
    assert b"in here" not in found.body
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert "in here" in caplog.text


def test_tokens_differ(shared):
    console = Console(Context())
    console.close()
    assert shared.token != console.token
    assert len(shared.token) >= 32
