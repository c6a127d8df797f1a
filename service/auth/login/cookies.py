"""The cookies of logins that are not finished: their names, and what a browser is told to do with them."""

from __future__ import annotations

import re

from starlette.requests import Request

ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")  # 128 bits


class Cookies:
    """One cookie for each transaction.

    A browser sends a cookie with what another site posts only when it is ``SameSite=None``, which needs ``Secure``. On
    plain http, which the settings allow on this machine only, most browsers take such a cookie and some drop it. So a
    cookie that has to cross is set in both forms there, each under a name of its own.

    Args:
        public_url: Our own origin.
        prefix: What their names begin with.

    Attributes:
        secure: Whether they are ``Secure``.
    """

    def __init__(self, public_url: str, prefix: str) -> None:
        # __Host-: no other host of the domain can plant it, and it never travels in the clear. A plain http origin can
        # have neither the prefix nor Secure.
        self.secure = public_url.startswith("https:")
        self._prefix = ("__Host-" if self.secure else "") + prefix
        self._crossing = f"{self._prefix}cross-"

    def read(self, request: Request, transaction_id: str) -> str | None:
        """The value that a browser holds for a transaction."""
        return next((request.cookies[name] for name in self._held(request, transaction_id)), None)

    def write(self, transaction_id: str, value: str, seconds: int, *, cross_site: bool = False) -> list[str]:
        """The ``Set-Cookie`` values that keep something for a transaction.

        Args:
            transaction_id: Which.
            value: What to keep.
            seconds: For how long.
            cross_site: Whether it has to come with requests that another site causes.
        """
        if self.secure:
            same_site = "None" if cross_site else "Lax"
            return [_cookie(self._prefix + transaction_id, value, seconds, f"SameSite={same_site}; Secure")]
        plain = _cookie(self._prefix + transaction_id, value, seconds, "SameSite=Lax")
        crossing = _cookie(self._crossing + transaction_id, value, seconds, "SameSite=None; Secure")
        return [plain, crossing] if cross_site else [plain]

    def end(self, request: Request, transaction_id: str) -> list[str]:
        """The ``Set-Cookie`` values that clear what a browser holds for a transaction."""
        return [self._ended(name) for name in self._held(request, transaction_id)]

    def ended(self, transaction_id: str) -> str:
        """The same where one value has to do; what crosses sites is left to its age."""
        return self._ended(self._prefix + transaction_id)

    def open(self, request: Request) -> list[str]:
        """Transactions that a browser has cookies for, the oldest first; of our form alone, because they are echoed."""
        named = [name for name in request.cookies if name.startswith(self._prefix)]
        ids = dict.fromkeys(name.removeprefix(self._crossing).removeprefix(self._prefix) for name in named)
        return [found for found in ids if ID.match(found)]

    def _ended(self, name: str) -> str:
        if self.secure:
            return _cookie(name, "", 0, "SameSite=Lax; Secure")
        return _cookie(name, "", 0, "SameSite=None; Secure" if name.startswith(self._crossing) else "SameSite=Lax")

    def _held(self, request: Request, transaction_id: str) -> list[str]:
        names = [self._prefix + transaction_id] + ([] if self.secure else [self._crossing + transaction_id])
        return [name for name in names if name in request.cookies]


def _cookie(name: str, value: str, seconds: int, rest: str) -> str:
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; {rest}"
