"""HTTP to what runs on this machine: past any proxy of the environment, and without reading the world's authorities."""

from __future__ import annotations

import ssl
from typing import Final

import httpx

# Trusts nobody, for none of these addresses is https. The default, which reads 140 authorities, takes longer than a
# question and its answer; a start that asks whether the API is there yet asks often.
_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(timeout: float) -> httpx.Client:
    """A client for plain HTTP.

    Args:
        timeout: Seconds for each step of a request.
    """
    return httpx.Client(timeout=timeout, trust_env=False, verify=_NOBODY)
