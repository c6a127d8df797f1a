"""What a machine refuses any program: space, a right, a network. What it is, and what a person does about it."""

from __future__ import annotations

import errno
import re
from typing import Final

FULL: Final = (
    "Free some space there (the local stack's state is .signalbox, or SIGNALBOX_STATE) and run the command again."
)
CLOSED: Final = "Let this user write there, or set SIGNALBOX_STATE to a folder that it may write to."
OFFLINE: Final = "connect this machine (or set HTTPS_PROXY) and run the command again"

_REMEDIES: Final = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: CLOSED,
}
# What httpx and botocore raise when no answer came. By name: whoever raised it has imported it, the others need not.
_UNANSWERED: Final = {
    "httpx.TransportError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
}
_SILENCES: Final = {
    "ConnectError": "no connection",
    "TimeoutException": "no answer in time",
    "TransportError": "the connection broke off",
    "ValueError": "something else answers there",
}
# In the words of PostgreSQL, Node, uv and Python.
_SPACE: Final = re.compile(r"No space left on device|Disk quota exceeded|ENOSPC|EDQUOT|os error (28|122)\b")
_NETWORK: Final = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|SOCKET_TIMEOUT|SELF_SIGNED_CERT"
    r"|error sending request|Network connectivity is disabled|operation timed out"
)


def remedy(failure: OSError) -> str | None:
    """What a person does about it; None where it is no refusal of the machine's.

    Args:
        failure: What a call of the system raised.
    """
    return _REMEDIES.get(failure.errno or 0)


def unreached(failure: Exception) -> str | None:
    """One sentence about an answer that never came; None where the failure is another.

    Args:
        failure: What a library raised.
    """
    if not _UNANSWERED & {f"{kind.__module__}.{kind.__name__}" for kind in type(failure).__mro__}:
        return None
    asked = getattr(getattr(failure, "_request", None), "url", None)
    where = f"{asked.host}:{asked.port}" if asked is not None and asked.port else getattr(asked, "host", "AWS")
    step = "see whether it runs: uv run signalbox status" if str(where).startswith("127.") else OFFLINE
    return f"{where} could not be reached ({type(failure).__name__}): {step}"


def silence(failure: Exception) -> str:
    """Why no answer of ours came, in a few words.

    Args:
        failure: What httpx raised, or what took the answer apart.
    """
    kinds = (kind.__name__ for kind in type(failure).__mro__)
    return next((_SILENCES[kind] for kind in kinds if kind in _SILENCES), "no answer")


def is_full(printed: str) -> bool:
    """Whether a program says that a disk is full.

    Args:
        printed: What it printed.
    """
    return _SPACE.search(printed) is not None


def is_offline(printed: str) -> bool:
    """Whether a program says that it reaches no other machine.

    Args:
        printed: What it printed.
    """
    return _NETWORK.search(printed) is not None
