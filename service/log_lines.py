"""Structured logging: one JSON object per line on stdout, and nothing in it that could be health information.

What is logged is chosen by us, field by field; what others log passes the same chain under two restrictions, because
their texts can quote a query string, a row or a header:

- a record of a foreign library keeps its format string but loses its arguments (uvicorn's start-up lines excepted);
- an exception is written as its type and the places it passed, never with its message.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partialmethod
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.log import get_logger, log_context

_OUR_LOGGERS = ("service", "migrations")
_TRUSTED_TEXT = ("uvicorn.error",)
_MAX_FRAMES = 30
_log, _ours = get_logger(__name__), logging.getLogger(__name__)


def _add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, **log_context.get()}


def describe_exception(error: BaseException) -> dict[str, object]:
    """Type and places of an exception and its causes, without any message.

    A message may quote what a caller sent or a row held ("Key (ssn)=(...) already exists").
    """
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    found: dict[str, object] = {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [f"{frame.filename.rsplit('site-packages/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        found["cause"] = describe_exception(cause)
    return found


def _exceptions(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event["exception"] = describe_exception(info)
    event.pop("stack_info", None)
    return event


def _drop_foreign_values(record: logging.LogRecord) -> logging.LogRecord:
    """Keep a foreign record's format string; of a text that was put together before, keep only where it came from."""
    if isinstance(record.msg, str) and not record.name.startswith(_TRUSTED_TEXT):
        record = copy.copy(record)
        record.msg = record.msg if record.args else f"{record.name}:{record.funcName}"
        record.args = ()
    return record


def _to_line(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> str:
    event["message"] = str(event.pop("event", "")).rstrip()
    return _line(event)


def _line(event: Mapping[str, Any]) -> str:
    return orjson.dumps(event, _name_of_type, orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z).decode()


def _name_of_type(value: object) -> str:
    return type(value).__name__


_SHARED: list[Processor] = [
    structlog.processors.add_log_level,
    _add_context,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    _exceptions,
]


class _Stdout(logging.StreamHandler[Any]):
    """Writes to whatever ``sys.stdout`` is now, so that nothing holds on to a closed stream."""

    terminator = ""  # a line has its own

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # which writes what waits

    def emit(self, record: logging.LogRecord) -> None:
        self.flush()
        self.stream = sys.stdout
        super().emit(_drop_foreign_values(record))

    def write(self, event: Mapping[str, Any]) -> None:
        """Write an event of our own, without the record that the standard library would make of it for nobody."""
        self._add(event)
        self.flush()

    def write_soon(self, event: Mapping[str, Any]) -> None:
        """As ``write``, but in one system call with what else is written in this turn of the running event loop."""
        loop = asyncio.get_running_loop()
        self._add(event)
        if len(self._waiting) == 1 or self._loop is not loop:  # one that was closed has forgotten it
            self._loop = loop
            loop.call_soon(self.flush)

    def _add(self, event: Mapping[str, Any]) -> None:
        with suppress(Exception), self.lock or nullcontext():  # as in handleError
            self._waiting.append(_line(event))

    def flush(self) -> None:
        """Write what waits; the standard library calls it at the end, too."""
        with suppress(Exception), self.lock or nullcontext():
            waiting, self._waiting = self._waiting, []
            sys.stdout.writelines(waiting)  # each for itself where it is unbuffered: a pipe may take half of more
            sys.stdout.flush()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full or closed pipe must not take the request with it, nor print the record to stderr."""


class _Events:
    """What structlog hands events to: the levels of the standard library's loggers hold here too."""

    def __init__(self, handler: _Stdout, name: str | None) -> None:
        self._handler = handler
        self._logger = logging.getLogger(name)

    def _at(self, level: int, event: EventDict) -> None:
        if self._logger.isEnabledFor(level):
            event["message"] = event.pop("event", "")
            self._handler.write(event)

    debug = partialmethod(_at, logging.DEBUG)
    info = partialmethod(_at, logging.INFO)
    warning = partialmethod(_at, logging.WARNING)
    error = partialmethod(_at, logging.ERROR)
    critical = partialmethod(_at, logging.CRITICAL)


def _as_it_is(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    return (event,), {}


class _Configured:
    handler: _Stdout | None = None


class Plain:
    """Writes what the chain would of a line without an exception; half of what that costs is to find the chain."""

    @staticmethod
    def info(event: str, **fields: Any) -> None:
        """Write a line, at the end of this turn of the event loop at the latest.

        Args:
            event: What happened.
            fields: Ids and numbers, beside those of the running request.
        """
        if _Configured.handler is None:
            _log.info(event, **fields)
        elif _ours.isEnabledFor(logging.INFO):
            line = {**fields, "level": "info", **log_context.get(), "timestamp": datetime.now(UTC), "message": event}
            _Configured.handler.write_soon(line)


def configure(level: str = "INFO") -> None:
    """Send everything (ours, uvicorn's, every library's, warnings) through one chain.

    Args:
        level: Least severe level of our own events; libraries log from WARNING on.
    """
    handler = _Configured.handler = _Stdout()
    structlog.configure(
        processors=[*_SHARED, _as_it_is],
        logger_factory=lambda name=None: _Events(handler, name),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _to_line],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True  # the request middleware writes the access line
    logging.captureWarnings(True)


def quiet_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Have the event loop report a lost exception in our form; its default quotes the exception's message.

    Args:
        loop: The running loop.
    """
    log = get_logger(__name__)

    def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("task_failed", exc_info=context.get("exception"))

    loop.set_exception_handler(handler)


def install_excepthook() -> None:
    """Write an exception that ends the process, or a thread, in the same form."""
    log = get_logger(__name__)

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("process_failed", exc_info=error.with_traceback(trace))

    def of_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            hook(ended.exc_type, ended.exc_value, ended.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = of_thread
