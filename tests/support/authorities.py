"""The world's authorities, read once: httpx does it for each client, also for those that speak plain HTTP here."""

from __future__ import annotations

import functools
import os
import ssl
from typing import Any

import httpx
from httpx._transports import default


def read_once() -> None:
    """Give every client of this process one context, unless it asks for another or the environment names others."""
    made = default.create_ssl_context  # type: ignore[attr-defined]
    shared = functools.cache(made)

    def create(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        elsewhere = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        given: ssl.SSLContext = (
            shared() if verify is True and cert is None and not elsewhere else made(verify, cert, trust_env)
        )
        return given

    default.create_ssl_context = create  # type: ignore[attr-defined]
    httpx.create_ssl_context = create
