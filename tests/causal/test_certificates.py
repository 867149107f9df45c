"""Certificates: each endpoint proves its own name, and nobody can pose as another."""

import asyncio
import datetime
import re
import socket
import ssl
import struct
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from causal.endpoint import AsyncEndpoint
from causal.transports.certificates import names
from causal.transports.conformance import CHECKS, Station, closing_writes_out
from causal.transports.incoming import Incoming
from causal.transports.stream import StreamTransport
from message_passing.errors import CallerError

trustme = pytest.importorskip("trustme")

from cryptography import x509  # noqa: E402 - trustme brings it
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

KEY = b"0123456789abcdef"
OURS, THEIRS = trustme.CA(), trustme.CA()
PEM = serialization.Encoding.PEM
PRIVATE = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def contexts(leaf, trusted=OURS, *, strict=True):
    """What an endpoint with this certificate gives to its transport.

    Verified by the letter of RFC 5280 where `strict`, as by default from Python 3.13 on.
    """
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context()
    server.verify_mode = ssl.CERT_REQUIRED
    client.check_hostname = False  # names are those of endpoints, not of hosts
    for context in (server, client):
        trusted.configure_trust(context)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if strict:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
        if leaf is not None:
            leaf.configure_cert(context)
    return {"server_tls": server, "client_tls": client}


def named(name, *alternative, extended=False, issuer_key=True):
    """A certificate with a common name, if it is not empty, as `trustme` makes none.

    It has an extension of alternative names where there are some or it is `extended`, and says by
    which key it was issued where `issuer_key`.
    """
    authority = x509.load_pem_x509_certificate(OURS.cert_pem.bytes())
    key, made = begun(name, authority.subject)
    if issuer_key:
        of = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of)
        made = made.add_extension(issuer, critical=False)
    if alternative or extended:
        names = x509.SubjectAlternativeName(map(x509.DNSName, alternative))
        made = made.add_extension(names, critical=False)
    secret = serialization.load_pem_private_key(OURS.private_key_pem.bytes(), None)
    signed = made.sign(secret, hashes.SHA256()).public_bytes(PEM)
    return trustme.LeafCert(key.private_bytes(PEM, *PRIVATE), signed, [])


def authority():
    """One whose certificate does not say what its key is used for."""
    key, made = begun("an authority")
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    itself = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signed = made.add_extension(itself, critical=False).sign(key, hashes.SHA256())
    return trustme.CA.from_pem(signed.public_bytes(PEM), key.private_bytes(PEM, *PRIVATE))


def begun(name, issuer=None):
    """The key and the beginning of a certificate."""
    key, now, day = ec.generate_private_key(ec.SECP256R1()), *_now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    made = x509.CertificateBuilder(issuer or subject, subject, key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return key, made.not_valid_before(now - day).not_valid_after(now + day)


def expired(name):
    now, day = _now()
    return OURS.issue_cert(name, not_before=now - 2 * day, not_after=now - day)


def _now():
    return datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)


LAX = authority()


async def until(done) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.005)


@pytest.mark.slow(fast=4)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kit(tmp_path: Path, check) -> None:
    def make(names):
        addresses = {name: f"unix://{tmp_path}/{name}" for name in names}
        return {
            name: StreamTransport(addresses, **contexts(OURS.issue_cert(name))) for name in names
        }

    asyncio.run(check(make))


def test_the_end_of_an_endpoint_writes_out_over_tcp() -> None:
    def make(names):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
        urls = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        addresses = dict(zip(names, urls, strict=True))
        return {
            name: StreamTransport(addresses, **contexts(OURS.issue_cert(name))) for name in names
        }

    asyncio.run(closing_writes_out(make))


@pytest.mark.parametrize(
    "leaf",
    [
        lambda name: OURS.issue_cert(name),
        lambda name: named(name),
        lambda name: named(name, "host.example"),
        lambda name: OURS.issue_cert("host.example", name),
    ],
    ids=["alternative name", "common name", "beside its host, common", "beside its host"],
)
def test_certified_endpoints_need_no_key(tmp_path: Path, leaf) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    async def main() -> None:
        transports = {name: StreamTransport(addresses, **contexts(leaf(name))) for name in "ab"}
        async with (
            AsyncEndpoint("a", "ab", transports["a"]) as a,
            AsyncEndpoint("b", "ab", transports["b"]) as b,
        ):
            await a.send("b", b"private")
            assert (await b.receive(timeout_s=60)).src == "a"
            await b.send("a", b"x" * 60_000)
            assert len((await a.receive(timeout_s=60)).payload) == 60_000
            await asyncio.gather(a.flush(timeout_s=60), b.flush(timeout_s=60))
            assert not a.refused + b.refused

    asyncio.run(main())


def test_from_python_3_13_on_contexts_verify_by_the_letter() -> None:
    by_the_letter = ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT
    assert bool(by_the_letter) == (sys.version_info >= (3, 13))


@pytest.mark.slow(fast=2)
@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (lambda name: named(name, extended=True), "Empty Subject Alternative Name"),
        (lambda name: named(name, issuer_key=False), "Missing Authority Key Identifier"),
        (lambda name: named("", name), "Subject empty and Subject Alt Name extension not critical"),
        (lambda name: LAX.issue_cert(name), "CA cert does not include key usage extension"),
    ],
    ids=["an empty list of names", "no key of the issuer", "no subject", "an authority's use"],
)
def test_what_verifying_by_the_letter_refuses(tmp_path: Path, leaf, why: str) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    async def main(strict: bool) -> None:
        tls = {name: contexts(leaf(name), strict=strict) for name in "ab"}
        for context in (context for each in tls.values() for context in each.values()):
            LAX.configure_trust(context)
        made = {name: StreamTransport(addresses, **tls[name]) for name in "ab"}
        a, b = [await Station(made[name]).start(name) for name in "ab"]
        a.transport.send("b", b"hello")
        if strict:
            await until(lambda: a.refusals)
            assert a.refusals[0].code == "bad-certificate"
            assert why in str(a.refusals[0])
            assert b.frames.empty()
        else:
            assert await b.next() == ("a", b"hello")
        for station in (a, b):
            await station.transport.close()

    asyncio.run(main(strict=False))
    asyncio.run(main(strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (lambda: OURS.issue_cert("c"), "is certified as"),  # a member, posing as another
        (lambda: named("*"), "is certified as"),  # no wildcards
        (lambda: named("A"), "is certified as"),
        (lambda: None, "did not return a certificate"),
        (lambda: THEIRS.issue_cert("a"), "unable to get local issuer"),
        (lambda: expired("a"), "expired"),
    ],
    ids=["another's", "wildcard", "other letters", "none", "unknown authority", "expired"],
)
def test_no_other_certificate_will_do(
    tmp_path: Path, leaf, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "abc"}

    async def main() -> None:
        # Whoever dials has the team's key and all of its code.
        posing = contexts(leaf())["client_tls"]
        stranger = Station(StreamTransport(addresses, key=KEY, client_tls=posing))
        transport = StreamTransport(addresses, key=KEY, **contexts(OURS.issue_cert("b")))
        async with AsyncEndpoint("b", "abc", transport) as b:
            await b.send("c", b"so that there is a state to move")
            before = b.state
            await stranger.start("a")
            stranger.transport.send("b", b"a frame")
            await until(lambda: b.refused)
            assert set(b.refused) == {"bad-certificate"}
            assert b.state == before
            await stranger.transport.close()
            await b.close()
        assert not transport._host.incoming

    asyncio.run(main())
    assert "b refused: a peer claims" in caplog.text or "b refused: a connecting" in caplog.text
    assert why in caplog.text


@pytest.mark.parametrize(
    "leaf", [lambda: OURS.issue_cert("c"), lambda: THEIRS.issue_cert("b"), lambda: expired("b")]
)
def test_a_dialer_tells_nothing_to_whoever_answers_in_anothers_place(tmp_path: Path, leaf) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    async def main() -> None:
        a = Station(StreamTransport(addresses, key=KEY, **contexts(OURS.issue_cert("a"))))
        theirs = contexts(leaf())["server_tls"]
        theirs.verify_mode = ssl.CERT_NONE  # it lets in whoever comes
        posing = StreamTransport(addresses, key=KEY, server_tls=theirs)
        b = await Station(posing).start("b")
        await a.start("a")
        a.transport.send("b", b"private")
        await until(lambda: len(a.refusals) > 1)
        assert {error.code for error in a.refusals} == {"bad-certificate"}
        assert b.frames.empty()
        for station in (a, b):
            await station.transport.close()

    asyncio.run(main())


def test_whoever_speaks_no_tls_is_refused(tmp_path: Path) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    async def main() -> None:
        b = await Station(StreamTransport(addresses, **contexts(OURS.issue_cert("b")))).start("b")
        _, writer = await asyncio.open_unix_connection(f"{tmp_path}/b")
        writer.write(b"\x00\x00\x00\x05hello")
        await until(lambda: b.refusals)
        assert [error.code for error in b.refusals] == ["bad-certificate"]
        writer.close()
        await b.transport.close()

    asyncio.run(main())


@pytest.mark.parametrize("rudely", [False, True])
def test_whoever_hangs_up_before_saying_anything_leaves_nothing_behind(rudely: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def main() -> None:
        addresses = {"b": f"tcp://127.0.0.1:{port}"}
        b = await Station(StreamTransport(addresses, **contexts(OURS.issue_cert("b")))).start("b")
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: b.transport._host.incoming)
        if rudely:  # a reset in place of a farewell
            linger = struct.pack("ii", 1, 0)
            there = writer.get_extra_info("socket")
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        await until(lambda: not b.transport._host.incoming)
        assert not b.refusals
        await b.transport.close()

    asyncio.run(main())


def test_whoever_hangs_up_before_the_handshake_begins_is_no_error(tmp_path: Path) -> None:
    async def main() -> None:
        addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}
        b = await Station(StreamTransport(addresses, **contexts(OURS.issue_cert("b")))).start("b")
        incoming = Incoming(b.transport._host)
        incoming.connection_made(Mock(spec=asyncio.Transport))
        incoming.connection_lost(None)
        await incoming.securing
        assert not b.transport._host.incoming
        assert not b.refusals
        await b.transport.close()

    asyncio.run(main())


def test_closing_ends_connections_that_have_not_proved_themselves(tmp_path: Path) -> None:
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "ab"}

    async def main() -> None:
        b = await Station(StreamTransport(addresses, **contexts(OURS.issue_cert("b")))).start("b")
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/b")
        await until(lambda: b.transport._host.incoming)
        await b.transport.close()
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        assert not b.refusals

    asyncio.run(main())


@pytest.mark.slow
def test_the_contexts_of_the_guide(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "causal.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import ssl\n.*?)```", guide, re.DOTALL)
    found: dict = {}
    exec(example, found)
    addresses = {name: f"unix://{tmp_path}/{name}" for name in "abc"}
    OURS.cert_pem.write_to_path(str(tmp_path / "authority"))

    async def main() -> None:
        stations = {}
        for name, borne in {"a": "a", "b": "b", "c": "a"}.items():
            leaf, files = OURS.issue_cert(borne), [str(tmp_path / f"{n}.{name}") for n in "cs"]
            leaf.cert_chain_pems[0].write_to_path(files[0])
            leaf.private_key_pem.write_to_path(files[1])
            given = found["contexts"](str(tmp_path / "authority"), *files)
            transport = StreamTransport(addresses, **given)
            stations[name] = await Station(transport).start(name)
        stations["a"].transport.send("b", b"hello")
        assert await stations["b"].next() == ("a", b"hello")
        stations["c"].transport.send("b", b"hello")
        await until(lambda: stations["b"].refusals)
        for station in stations.values():
            await station.transport.close()

    asyncio.run(main())


def test_what_a_certificate_is_called() -> None:
    certificate = {
        "subject": ((("organizationName", "team"),), (("commonName", "planner"),)),
        "subjectAltName": (
            ("DNS", "planner.example"),
            ("URI", "spiffe://team/planner"),
            ("email", "planner@example"),
            ("IP Address", "127.0.0.1"),
        ),
    }
    assert names(certificate) == {"planner", "planner.example", "spiffe://team/planner"}
    assert names({}) == names(None) == frozenset()


def test_contexts_that_would_let_somebody_unproved_speak_are_refused(tmp_path: Path) -> None:
    addresses = {"a": f"unix://{tmp_path}/a"}
    both = contexts(OURS.issue_cert("a"))
    with pytest.raises(CallerError, match="a key of 0 bytes"):
        StreamTransport(addresses)
    with pytest.raises(CallerError, match="a key of 5 bytes"):
        StreamTransport(addresses, key=b"short", **both)
    with pytest.raises(CallerError, match="listeners need not"):
        StreamTransport(addresses, server_tls=both["server_tls"])
    # TLS without certificates of dialers encrypts, and names nobody.
    both["server_tls"].verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(CallerError, match="a key of 0 bytes"):
        StreamTransport(addresses, **both)
    both["client_tls"].check_hostname = True
    with pytest.raises(CallerError, match="no host name"):
        StreamTransport(addresses, key=KEY, **both)
