"""Which tenant the running request belongs to. There is no default and no fallback: without one, nothing opens."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Self

# One pattern everywhere: here, in the pre token generation function and in the settings. \Z, because $ would let a
# trailing line feed through.
_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


class TenantMissingError(RuntimeError):
    """Tenant work was asked for where no tenant is set: a mistake in our code, never the caller's."""


class TenantId(str):
    """A tenant identifier that passed the pattern; made by ``parse`` alone."""

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        raise TypeError("use TenantId.parse")

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a value from outside. No trimming, no case folding.

        Args:
            value: What a claim or a setting holds.

        Returns:
            The identifier, 1 to 64 characters of ``A-Z a-z 0-9 _ -``.

        Raises:
            ValueError: The value is no string or does not fit; the text does not repeat it.
        """
        if not isinstance(value, str) or not _PATTERN.match(value):
            raise ValueError("a tenant is 1 to 64 letters, digits, _ or -, and begins with a letter or digit")
        return str.__new__(cls, value)


_current: ContextVar[TenantId | None] = ContextVar("signalbox_tenant", default=None)


def current_tenant() -> TenantId:
    """The tenant of the running request.

    Raises:
        TenantMissingError: None is set (a public route, a job that forgot ``tenant_scope``).
    """
    tenant = _current.get()
    if tenant is None:
        raise TenantMissingError("no tenant in context")
    return tenant


class tenant_scope:  # noqa: N801  a context manager, used like a function; each request enters it once
    """Run a block for one tenant: the gate does it, and so does work outside a request.

    Args:
        tenant: Whose data the block may see.
    """

    __slots__ = ("_tenant", "_token")

    def __init__(self, tenant: TenantId) -> None:
        self._tenant = tenant

    def __enter__(self) -> None:
        self._token = _current.set(self._tenant)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
