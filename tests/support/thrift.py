"""What libraries do for a person at each turn, and the tests a thousand times for nobody."""

from __future__ import annotations

import functools
import os
import ssl
import sys
from typing import Any

import httpx
import structlog
from httpx._transports import default


def compile_once() -> None:
    """Keep what Python compiles: each of hundreds of processes would compile the same libraries anew."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def read_authorities_once() -> None:
    """Give every client of httpx one context, unless it asks for another."""
    made = default.create_ssl_context  # type: ignore[attr-defined]
    shared = functools.cache(lambda *where: made(trust_env=bool(where)))

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        usual = verify is True and cert is None
        where = (os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env)
        given: ssl.SSLContext = shared(*where) if usual else made(verify, cert, trust_env)
        return given

    default.create_ssl_context = create  # type: ignore[attr-defined]
    httpx.create_ssl_context = create


def print_plain_tracebacks() -> None:
    """Leave out rich's, with colours and the values of variables: one took up to two seconds of processor time."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
