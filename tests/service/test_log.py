"""What reaches the log: one JSON object per line, enough to find a request again, and nothing of what a caller sent."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.api.markers import MARKERS, leaked, provoke
from tests.support.api.server import ROOT, Server
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer


@pytest.fixture
def server(module_issuer: Issuer, module_database: Database) -> Iterator[Server]:
    environment = {**module_issuer.environment(), "DATABASE_URL": module_database.url()}
    with Server(environment, "tests.support.api.serve") as running:
        yield running


def test_nothing_of_what_a_caller_sent_reaches_the_log(server: Server, module_issuer: Issuer) -> None:
    statuses = provoke(server, module_issuer)
    assert {200, 201, 401, 403, 404, 405, 409, 413, 422, 500} <= statuses
    assert server.stop() == 0
    output = "\n".join(server.lines)
    assert leaked(output) == []
    assert "eyJ" not in output, "no token, nor the beginning of one"
    events = server.events()  # every line parsed as JSON
    for event in events:
        assert {"message", "level", "timestamp"} <= event.keys(), event
        assert event["level"] in ("debug", "info", "warning", "error", "critical")
        assert event["timestamp"].endswith("Z")
    lines = [event for event in events if event["message"] == "request"]
    assert len(lines) >= len(statuses)
    assert all({"request_id", "method", "status", "duration_ms"} <= line.keys() for line in lines)
    admitted = [line for line in lines if line.get("route") == "/api/v1/auth/validate" and line["status"] == 200]
    assert admitted
    assert all((line["tenant_id"], line["user_id"]) == ("acme", "alice") for line in admitted)
    unhandled = [event for event in events if event["message"] == "unhandled_exception"]
    assert any("RuntimeError" in event["exception"]["type"] for event in unhandled)
    assert all(event["request_id"] for event in unhandled)


def test_one_request_id_joins_the_answer_and_every_line(server: Server, module_issuer: Issuer) -> None:
    sent = "0b1e2d3c4f5a6b7c8d9e0f1a2b3c4d5e"
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    railway = "inbYlqIDTKG06JubpHNmDw"
    answer = server.post(
        "/api/v1/notes/then-fail",
        module_issuer.token(),
        json={"body": "x"},
        headers={"X-Request-ID": sent, "traceparent": trace, "X-Railway-Request-Id": railway},
    )
    assert answer.headers["X-Request-ID"] == sent
    for anybodys in ("abc123", "JohnDoe19700101", "x" * 64, railway + "A", railway[:-1] + "x"):
        server.get("/api/v1/health/live", headers={"X-Railway-Request-Id": anybodys})
    server.stop()
    assert {event["railway_request_id"] for event in server.events() if "railway_request_id" in event} == {railway}
    lines = [event for event in server.events() if event.get("request_id") == sent]
    assert {"unhandled_exception", "request"} <= {event["message"] for event in lines}
    assert all(event["trace_id"] == trace.split("-")[1] for event in lines)
    assert all(event["railway_request_id"] == railway for event in lines)


SPEAK = """
import asyncio, logging, warnings
from service import log, log_lines
log_lines.configure("DEBUG")
log_lines.install_excepthook()
logging.getLogger("some.library").warning("row %s of %s", "{marker}", "x")
logging.getLogger("some.library").error("already put together: {marker}")
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
warnings.warn("careful: {marker}")
log.get_logger("service.x").info("ours", count=1)
try:
    raise ValueError("{marker}")
except ValueError:
    logging.getLogger("some.library").exception("failed")
async def lost():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    log_lines.quiet_loop(asyncio.get_running_loop())
    await asyncio.sleep(0.05)
asyncio.run(lost())
raise KeyError("{marker}")
"""


def test_libraries_warnings_and_a_dying_process_speak_the_same_language() -> None:
    marker = MARKERS["body"]
    done = subprocess.run(
        [sys.executable, "-c", SPEAK.replace("{marker}", marker)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert marker not in done.stdout + done.stderr
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    messages = [event["message"] for event in events]
    assert "row %s of %s" in messages
    assert "Started server process [7]" in messages
    assert "ours" in messages
    assert "task_failed" in messages
    assert messages[-1] == "process_failed"
    assert [event["exception"]["type"] for event in events if "exception" in event] == [
        "builtins.ValueError",
        "builtins.ZeroDivisionError",
        "builtins.KeyError",
    ]


@contextmanager
def _configured() -> Iterator[None]:
    """With logging as the service has it, for a while."""
    from service import log_lines

    root = logging.getLogger()
    before, level, warned = root.handlers[:], root.level, warnings.showwarning
    try:
        log_lines.configure("INFO")
        yield
    finally:
        root.handlers[:], warnings.showwarning = before, warned
        root.setLevel(level)
        logging.captureWarnings(False)


def test_a_closed_pipe_does_not_take_the_request_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    from service import log

    with _configured():
        stream = sys.stdout
        sys.stdout = open("/dev/full", "w", buffering=1)  # noqa: SIM115, PTH123
        try:
            log.get_logger("service.test").info("lost")
        finally:
            broken, sys.stdout = sys.stdout, stream
            with pytest.raises(OSError, match="No space"):
                broken.close()
    assert capsys.readouterr().err == ""


class _Writes(io.StringIO):
    """Counts what is written at once, as the operating system would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[list[str]] = []

    def flush(self) -> None:
        if text := self.getvalue():
            self.flushed.append([json.loads(line)["message"] for line in text.splitlines()])
            self.seek(0)
            self.truncate()


def test_access_lines_of_one_turn_are_written_at_once_and_every_line_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from service import log, log_lines

    async def turns() -> None:
        log_lines.Plain.info("first")
        log_lines.Plain.info("second")
        await asyncio.sleep(0)
        assert stream.flushed == [["first", "second"]]
        log_lines.Plain.info("third")
        log.get_logger("service.test").warning("told at once")
        assert stream.flushed[1:] == [["third", "told at once"]]
        log_lines.Plain.info("fourth")
        logging.getLogger("some.library").warning("put together by others")
        log_lines.Plain.info("last")

    stream = _Writes()
    with _configured():
        monkeypatch.setattr(sys, "stdout", stream)
        asyncio.run(turns())
    assert stream.flushed[2:] == [["fourth"], ["some.library:turns"], ["last"]]


class _Pipe(io.RawIOBase):
    """Takes what it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.taken.append(bytes(data))
        return len(data)


def test_where_nothing_is_buffered_each_line_is_written_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with PYTHONUNBUFFERED: a pipe takes a line whole or waits, and of more may take a part and lose the rest."""
    from service import log_lines

    async def turn() -> None:
        for number in range(100):
            log_lines.Plain.info("request", number=number)

    pipe = _Pipe()
    with _configured():
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, write_through=True))  # type: ignore[type-var]
        asyncio.run(turn())
    assert [json.loads(line)["number"] for line in pipe.taken] == [*range(100)]


def test_a_loop_that_was_closed_keeps_no_line_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    from service import log_lines

    async def say(what: str, wait: bool) -> None:
        log_lines.Plain.info(what)
        if wait:
            await asyncio.sleep(0)
            assert stream.flushed == [["lost in a loop", "of the next"]]

    stream = _Writes()
    with _configured():
        monkeypatch.setattr(sys, "stdout", stream)
        first = asyncio.new_event_loop()
        task = first.create_task(say("lost in a loop", False))
        first.call_soon(first.stop)
        first.run_forever()
        first.close()
        assert task.done()
        asyncio.run(say("of the next", True))
