"""Who is speaking, by certificate: TLS in which both ends show one that bears their name.

A team whose members each hold a certificate of one authority needs no shared key: every connection
proves both names, and a member that loses its secret can be replaced without the others changing
theirs.  A certificate names an endpoint by a DNS or URI entry of its subject alternative names
(RFC 5280, 4.2.1.6) or by its common name, spelt exactly like the endpoint: no wildcards.  One that
bears several names may speak under each of them.

Whether a certificate is sound is for the contexts to say: those that `ssl.create_default_context`
makes verify by the letter of RFC 5280 from Python 3.13 on, and refuse, for one, an extension of
alternative names that is empty.
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

    Raises `CallerError` for contexts of which only one asks: the listener's name would go unproved
    to the dialer, or the dialer's to the listener.
    """
    if server is None or server.verify_mode is not ssl.CERT_REQUIRED:
        return False
    if client is None or client.verify_mode is not ssl.CERT_REQUIRED:
        raise CallerError(
            "dialers must show a certificate, and listeners need not",
            remedy="give a client_tls context whose verify_mode is CERT_REQUIRED as well",
        )
    return True


def names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Every name that a verified certificate bears, as `SSLSocket.getpeercert` shows it."""
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
    """What is wrong with the certificate shown on this connection, unless it bears the name."""
    borne = names(wire.get_extra_info("peercert"))
    if name in borne:
        return None
    return BadCertificate(f"whoever claims to be {name!r} is certified as {sorted(borne)}")
