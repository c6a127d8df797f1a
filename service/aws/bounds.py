"""An answer of AWS has an end, in seconds and in bytes.

botocore bounds every read from a socket, not their sum: a server that sends a byte now and then is waited for as long
as it likes, and an answer of any size is held in memory.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSRequest,
    AWSResponse,
)
from botocore.exceptions import HTTPClientError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

MAX_BYTES: Final = 4 * 1024 * 1024  # of an answer; the longest that are asked for are lists of a bucket's objects


class BoundedSession(URLLib3Session):
    """What botocore sends with. A streamed answer, an object of a bucket, is bounded by what reads it.

    Args:
        url: Where to, for the environment's proxies.
        connect: Seconds for a connection.
        read: Seconds for one read from it.
        verify: CA file; True takes those that botocore brings.
    """

    def __init__(self, url: str, connect: float, read: float, verify: str | bool = True) -> None:
        options: Any = {"verify": verify, "proxies": get_environ_proxies(url), "timeout": (connect, read)}
        super().__init__(**options)  # its annotations know neither a CA file nor two time-outs; botocore passes both
        self._seconds = connect + read
        # The managers of connections hold this very mapping.
        self._pool_classes_by_scheme.update(http=_Pool, https=_TlsPool)  # type: ignore[attr-defined]

    def handle(self, request: AWSRequest | AWSPreparedRequest, **_: Any) -> AWSResponse:
        """For a client's event ``before-send``: the answer it gives is taken instead of sending anything."""
        return self.send(request)

    def send(self, request: AWSRequest | AWSPreparedRequest) -> AWSResponse:
        """One request.

        Raises:
            HTTPClientError: As botocore's own; also where the answer does not end in time, or is too large.
        """
        if request.stream_output:
            return super().send(request)
        request.stream_output = True  # it is read here
        with _Deadline(self._seconds) as deadline:
            try:
                answer = super().send(request)
                content = _read(answer)
                if deadline.passed:  # what was cut passes for an answer that ended
                    raise TimeoutError
            except Exception as failure:
                if deadline.passed:
                    raise ReadTimeoutError(endpoint_url=str(request.url), error=failure) from None
                if isinstance(failure, HTTPClientError):
                    raise
                raise HTTPClientError(request=request, error=failure) from failure
        headers: Any = answer.headers
        return AWSResponse(answer.url, answer.status_code, headers, _Whole(content))


def _read(answer: AWSResponse) -> bytes:
    content = bytearray()
    for part in answer.raw.stream(65_536):
        content += part
        if len(content) > MAX_BYTES:
            answer.raw.close()
            raise ValueError(f"an answer of AWS is larger than {MAX_BYTES} bytes")
    return bytes(content)


class _Whole:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content


class _Deadline:
    """Ends the connections that this thread uses meanwhile, once the time is over."""

    here = threading.local()

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._connections: list[Any] = []
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self.here.current = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.here.current = None

    def watch(self, connection: Any) -> None:
        self._connections.append(connection)
        if self.passed:
            self._cut(connection)

    def _pass(self) -> None:
        self.passed = True
        for connection in self._connections:
            self._cut(connection)

    @staticmethod
    def _cut(connection: Any) -> None:
        with suppress(OSError):  # it has ended meanwhile
            connection.twin.shutdown(socket.SHUT_RDWR)


class _Watched:
    """A connection that tells the deadline of its thread when it is used.

    A second handle of its socket ends it: TLS takes the first one over in a handshake, which may hang as well, and
    ending TLS itself would take its state away from under the thread that reads.
    """

    def _new_conn(self) -> Any:
        made = super()._new_conn()  # type: ignore[misc]
        self.twin = made.dup()
        self._tell()
        return made

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if hasattr(self, "twin"):
            self.twin.close()

    def request(self, *args: Any, **kwargs: Any) -> Any:
        if hasattr(self, "twin"):  # used before
            self._tell()
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def _tell(self) -> None:
        deadline = getattr(_Deadline.here, "current", None)
        if deadline is not None:
            deadline.watch(self)


class _Connection(_Watched, AWSHTTPConnection):  # type: ignore[misc]  # botocore's bases differ
    pass


class _TlsConnection(_Watched, AWSHTTPSConnection):  # type: ignore[misc]  # as above
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection
