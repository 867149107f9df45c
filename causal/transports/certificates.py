"""Authentication by certificate: TLS in which both ends present one with their name.

A team whose members each hold a certificate of one authority needs no shared key: every connection
proves both names, and a member that loses its secret can be replaced while the others keep theirs.
A certificate names an endpoint by a DNS or URI entry of its subject alternative names (RFC 5280,
4.2.1.6) or by its common name, spelt exactly like the endpoint: no wildcards.  A certificate with
several names allows each of them.

The TLS contexts decide whether a certificate is valid: from Python 3.13 on, those of
`ssl.create_default_context` enforce RFC 5280 strictly, and refuse, for example, an empty extension
of alternative names.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from causal.transports.port import BadCertificate
from message_passing.errors import CallerError
from message_passing.process import Address


def required(server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> bool:
    """Whether these contexts ask every peer for a certificate.

    Raises `CallerError` for contexts of which only one asks: the dialer would not verify the
    listener's name, or the listener the dialer's.
    """
    if server is None or server.verify_mode is not ssl.CERT_REQUIRED:
        return False
    if client is None or client.verify_mode is not ssl.CERT_REQUIRED:
        raise CallerError(
            "dialers must present a certificate, and listeners need not",
            remedy="give a client_tls context whose verify_mode is CERT_REQUIRED as well",
        )
    return True


def names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Every name in a verified certificate, as `SSLSocket.getpeercert` returns it."""
    if not certificate:
        return frozenset()
    common = {
        value
        for relative in certificate.get("subject", ())
        for kind, value in relative
        if kind == "commonName"
    }
    others = {
        value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")
    }
    return frozenset(common | others)


def mismatch(name: Address, wire: asyncio.Transport) -> BadCertificate | None:
    """The error of this connection's certificate, or None if it contains the name."""
    borne = names(wire.get_extra_info("peercert"))
    if name in borne:
        return None
    return BadCertificate(f"a peer claims to be {name!r} but is certified as {sorted(borne)}")


def channel(wire: asyncio.Transport) -> bytes | None:
    """What only the two ends of this TLS channel know in common; None without TLS.

    It is the first Finished message of the handshake, which `ssl` calls "tls-unique" (RFC 5929).
    That name is not defined for TLS 1.3, but the message depends on both ends' fresh keys there
    too: a process that ends one TLS channel and opens another cannot make the two equal.
    """
    tls = wire.get_extra_info("ssl_object")
    if tls is None:
        return None
    if "tls-unique" not in ssl.CHANNEL_BINDING_TYPES:
        return b""
    return tls.get_channel_binding("tls-unique") or b""
