"""Where bytes arrive: head, body and time are bounded here, before anything is kept or judged.

uvicorn's protocol with limits. Whatever is refused here is answered by the application itself (``service.http.request``
finds the row of the registry in the scope), so that it has our shape, headers, request id and access line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service import errors
from service.errors import Error
from service.http import shape
from service.http.admission import Admission
from service.http.cycle import Cycle
from service.http.fields import Field
from service.http.gate import CREDENTIAL
from service.http.head import new_id
from service.http.request import MAX_HEAD_BYTES, REFUSED, SECURITY_HEADERS

HEAD_SECONDS = 10.0  # from the first byte of a request to the end of its header fields
BODY_IDLE_SECONDS = 10.0  # between two pieces of a body
BODY_SECONDS = 60.0  # for a whole body of the usual limit; the server adds to it where more is allowed
WRITE_SECONDS = 30.0  # that a client may leave an answer unread
SILENT_SECONDS = 1.0  # while a stop drains, for the first byte on a connection that was just made
LINGER_SECONDS = 2.0  # for which what still comes is thrown away, so that the answer is not lost with it
MAX_HEADERS: Final = 100
_MANY_KNOWN: Final = 1024  # requests that are refused without being parsed again
_LONGEST_KNOWN: Final = 4096  # bytes of one
MAX_PIPELINED: Final = 16  # requests that one connection may have waiting behind the one under way

_IDLE, _HEAD, _BODY, _LINGER = range(4)


class State(ServerState):
    """What all connections share.

    Args:
        admission: Judges what may be begun.

    Attributes:
        stopping: Whether every answer is its connection's last.
        draining: Whether no connection is taken any more.
        body_seconds: For a whole body.
        refused: Requests that were over the limit, since the start.
        known: Target and fields of requests that can be refused shortly, by the bytes in which each came as a whole.
        refusing: Tasks that are under way only to refuse: they serve nothing, and keep nothing from being served.
    """

    _of: object = None  # the headers that this was made with
    _ready = b"", b""

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.admission = admission
        self.stopping = self.draining = False
        self.body_seconds = BODY_SECONDS
        self.refused = 0
        self.refusing = 0
        self.known: dict[bytes, tuple[bytes, Sequence[Field]]] = {}

    def judge(self, target: bytes, headers: Sequence[Field]) -> tuple[bool, bytes | None]:
        """Whether a request may be begun now; see ``Admission.judge``."""
        return self.admission.judge(len(self.tasks) - self.refusing, target, headers)

    def remember(self, request: bytes, target: bytes, headers: Sequence[Field]) -> None:
        """Parse a request no more that is sent in the same bytes, as those of a flood are, unless it may be begun."""
        if len(self.known) >= _MANY_KNOWN:
            self.known.clear()
        if len(request) <= _LONGEST_KNOWN:
            self.known[request] = target, headers

    def ready(self) -> tuple[bytes, bytes]:
        """What the server adds to every answer, as lines, and the head of what a request over the limit gets, but for
        its id; made anew where the date changes."""
        if self._of is not self.default_headers:
            lines = b"".join([b"%b: %b\r\n" % line for line in self.default_headers])
            self._of, self._ready = self.default_headers, (lines, b"%b%bx-request-id: " % (_OVERLOADED_HEAD, lines))
        return self._ready


def _overloaded() -> tuple[bytes, bytes]:
    answer = shape.response(errors.OVERLOADED)
    lines = [b"%b: %b\r\n" % line for line in (*answer.raw_headers, *SECURITY_HEADERS)]
    return b"".join([STATUS_LINE[answer.status_code], *lines]), bytes(answer.body)


_OVERLOADED_HEAD, _OVERLOADED_BODY = _overloaded()


class _Half:
    """A transport whose end is told first: closing it with bytes unread would have the kernel take back the answer."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.linger()


class Protocol(HttpToolsProtocol):
    """One connection."""

    server_state: State

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._phase = _IDLE
        self._deaf = False
        self._fed = 0  # bytes since the parser last made something of them
        self._since = self._heard = self.loop.time()
        self._unread_since: float | None = None
        self._turned: RequestResponseCycle | None = None  # stands for every request that was turned away
        self._wrong = errors.BAD_REQUEST
        self._begun = 0  # requests in the bytes that came last
        # Target and fields of one of them that was refused as any other would be that is sent in the same bytes.
        self._plain: tuple[bytes, Sequence[Field]] | None = None

    # --- bytes -------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse, within the limits."""
        if self._deaf:
            return
        self._heard = self.loop.time()
        state, begins = self.server_state, self._phase == _IDLE
        known = state.known.get(data) if begins and state.known else None
        if known is not None and not state.stopping and self._can_be_answered() and not state.judge(*known)[0]:
            self._refuse_shortly(b"\r\n\r\n", _OVERLOADED_BODY)
            return
        self._fed += len(data)
        self._begun = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to a protocol that is not spoken here; what follows may be of that
            self._deaf = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            if not self._deaf:
                self.refuse(self._wrong)
        else:
            if self._fed > MAX_HEAD_BYTES:  # of a head, or of what stands between the pieces of a body
                self.refuse(errors.HEADERS_TOO_LARGE if self._phase == _HEAD else errors.BAD_REQUEST)
            if self._plain is not None:
                if begins and self._begun == 1 and self._phase == _IDLE:  # it was the whole of what came
                    state.remember(data, *self._plain)
                self._plain = None

    def on_message_begin(self) -> None:
        """The first byte of a request; behind the last one there is none, though it came in the same bytes."""
        if self._deaf and self._phase == _LINGER:
            raise httptools.HttpParserError
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._begun += 1
        self._phase, self._since = _HEAD, self._heard

    def _make_scope(self) -> None:
        """What uvicorn makes at the first byte already, and most of a flood is refused without."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers

    def on_headers_complete(self) -> None:
        """Begin to serve."""
        if len(self.headers) > MAX_HEADERS:
            self._wrong = errors.HEADERS_TOO_LARGE
            raise httptools.HttpParserError
        if len(self.pipeline) >= MAX_PIPELINED:
            self._wrong = errors.TOO_MANY_AT_ONCE
            raise httptools.HttpParserError
        admitted, credential = self.server_state.judge(self.url, self.headers)
        if not admitted:
            if self._turned_away():
                return
            self._make_scope()
            self.scope[REFUSED] = errors.OVERLOADED  # type: ignore[typeddict-unknown-key]
        else:
            self._make_scope()
            if credential is not None:
                self.scope[CREDENTIAL] = credential  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        self.headers = []  # for fields behind the body, which come too late to be believed
        self._phase, self._since, self._fed = _BODY, self._heard, 0
        if self.server_state.stopping:
            self.cycle.keep_alive = False
        if self.scope["method"] not in ("GET", "HEAD"):
            self.cycle.transport = _Half(self)  # type: ignore[assignment]  # it may be answered before its body is in

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = Cycle  # uvicorn asks nobody which kind to make
        own: Cycle = cycle  # type: ignore[assignment]
        scope, state, tasks = own.scope, self.server_state, self.tasks
        refuses, credential = REFUSED in scope, scope.get(CREDENTIAL)
        counted = state.admission.begin(cast(bytes, credential)) if credential is not None else None
        state.refusing += refuses
        task = self.loop.create_task(own.run_asgi(app))
        tasks.add(task)

        def ended() -> None:
            tasks.discard(task)
            state.refusing -= refuses
            if counted is not None:
                counted()

        own.ended, own.lines = ended, state.ready()[0]

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        super().on_body(body)
        self._fed = 0

    def on_message_complete(self) -> None:
        """The end of a request."""
        super().on_message_complete()
        if self._phase != _LINGER:
            self._phase = _IDLE

    def _can_be_answered(self) -> bool:
        """Whether no answer is under way, and the client reads those that it gets."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _turned_away(self) -> bool:
        """Refuse a request with the least that can be done for it; but not where a page must be allowed to read it."""
        if not self._can_be_answered() or b"origin" in [name for name, _ in self.headers]:
            return False
        self._phase, self._since, self._fed = _BODY, self._heard, 0
        last = self.server_state.stopping or not self.parser.should_keep_alive() or self.parser.should_upgrade()
        has_body = self.parser.get_method() != b"HEAD"
        end = b"\r\nconnection: close\r\n\r\n" if last else b"\r\n\r\n"
        self._refuse_shortly(end, _OVERLOADED_BODY if has_body else b"")
        self._plain = (self.url, self.headers) if has_body else None
        self.headers = []  # for fields behind the body
        if self._turned is None:
            self._turned = self._cycle({})
            self._turned.response_started = self._turned.response_complete = True
        self.cycle = self._turned  # what is left of the request's body is nobody's
        if last:
            self.linger()
        return True

    def _refuse_shortly(self, end: bytes, body: bytes) -> None:
        self.server_state.refused += 1
        self.transport.write(b"%b%b%b%b" % (self.server_state.ready()[1], new_id().encode(), end, body))

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refuse(self, row: Error) -> None:
        """Read no more, and say why.

        Args:
            row: Of the registry.
        """
        self._deaf = True
        if self._phase == _BODY:
            cycle = self.cycle
            cycle.keep_alive = False
            cycle.scope[REFUSED] = row  # type: ignore[typeddict-unknown-key]
            cycle.message_event.set()  # its reader of the body finds it
            if cycle.response_complete:
                self.transport.close()
            return
        if self._phase == _IDLE:
            self.on_message_begin()
        self._make_scope()
        self._answer({**self.scope, "method": "", "path": "/", "raw_path": b"/", "query_string": b""}, row)

    def cut(self, row: Error) -> None:
        """Let go of a request that could not be ended.

        Args:
            row: What its client is told, if nothing was told yet.
        """
        cycle = self.cycle
        if self._phase == _HEAD:
            self.refuse(row)
        elif cycle is None or cycle.response_complete:
            self.transport.close()
        elif cycle.response_started or self.pipeline:
            self.transport.abort()  # half an answer must not look like a whole one
        else:
            self._deaf = cycle.disconnected = True  # what it still sends goes nowhere
            self.cycle = None  # type: ignore[assignment]
            self._answer(dict(cycle.scope), row)

    def _answer(self, scope: dict[str, Any], row: Error) -> None:
        before, self.cycle = self.cycle, self._cycle({**scope, REFUSED: row})
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle(self, scope: dict[str, Any]) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=scope,  # type: ignore[arg-type]
            transport=_Half(self),  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def linger(self) -> None:
        """Close our half, and the other one when the client has done so, or after a moment."""
        if self._phase == _IDLE and not self._deaf:
            self.transport.close()
        elif not self.transport.is_closing():
            self._deaf, self._phase, self._since = True, _LINGER, self.loop.time()
            self.transport.write_eof()

    def on_response_complete(self) -> None:
        """Go on with what waits, unless that was the last answer."""
        if self._phase == _LINGER:
            return
        self._heard = self.loop.time()
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:  # and here it sets a timer for each request: ``look`` sees to what is idle
            self.flow.resume_reading()

    # --- time --------------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does."""
        self._unread_since = None
        super().resume_writing()

    def look(self, now: float, elapsed: float, body_idle: float) -> None:
        """End what takes too long; called every second or so.

        Args:
            now: The loop's time.
            elapsed: Seconds since the last look.
            body_idle: Seconds that may be between two pieces of a body.
        """
        cycle, idle, age = self.cycle, now - self._heard, now - self._since
        if self._unread_since is not None and now - self._unread_since > WRITE_SECONDS:
            self.transport.abort()
        elif self._phase == _LINGER:
            if age > LINGER_SECONDS:
                self.transport.abort()
        elif self._deaf:
            return
        elif self._phase == _HEAD:
            if age > HEAD_SECONDS:
                self.refuse(errors.TIMED_OUT)
        elif self._phase == _BODY:
            if self.flow.read_paused or cycle.waiting_for_100_continue:  # it is we who do not read
                self._heard, self._since = now, self._since + elapsed
            elif idle > body_idle or age > self.server_state.body_seconds:
                self.refuse(errors.TIMED_OUT)
        elif cycle is not None and not cycle.response_complete:
            return
        elif idle > (SILENT_SECONDS if self.server_state.draining else self.timeout_keep_alive):
            self.transport.close()

    # --- stopping ----------------------------------------------------------------------------------------------------

    def last_answer(self) -> None:
        """Have the answer that is under way say that it is the last one."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close what is kept for further requests; ``look`` closes what has not asked for anything, for it may be about
        to: it was taken in a moment ago."""
        self.last_answer()
        if self._phase == _IDLE and self.cycle is not None and self.cycle.response_complete:
            self.transport.close()
