"""What a module logs with: a logger, and the fields of the running request. ``service.log_lines`` writes the lines."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import structlog

# What every line of the running request says; the middleware begins it afresh for each request.
log_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=MappingProxyType({}))
# What the core binds; a feature declares its own (``Feature.log_fields``).
LOG_FIELDS = frozenset({"request_id", "trace_id", "railway_request_id", "tenant_id", "user_id"})


class _Declared:
    fields: frozenset[str] = LOG_FIELDS
    strict = True


def declare_fields(fields: frozenset[str], *, strict: bool) -> None:
    """Say what ``bind`` takes, for the process: logging has one configuration.

    Args:
        fields: Of all features, beside the core's.
        strict: Whether an undeclared field is an error (development) or is dropped (production).
    """
    _Declared.fields, _Declared.strict = LOG_FIELDS | fields, strict


def bind(**fields: str | int | float | bool | None) -> None:
    """Add fields to every further line of the running request, the access line included.

    Args:
        fields: Ids and numbers, never a text of a person's: what is logged must not be health information.

    Raises:
        ValueError: A field that no feature declares, in development; elsewhere it is dropped, because what nobody
            looked at may be health information.
    """
    if not fields.keys() <= _Declared.fields:
        unknown = ", ".join(sorted(fields.keys() - _Declared.fields))
        if _Declared.strict:
            raise ValueError(f"log fields that no feature declares: {unknown}; add them to its Feature(log_fields=...)")
        get_logger(__name__).error("log_fields_undeclared", fields=unknown)
        fields = {name: value for name, value in fields.items() if name in _Declared.fields}
    log_context.set({**log_context.get(), **fields})


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for a module.

    Args:
        name: ``__name__`` of the module.
    """
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
