"""A collector of OpenTelemetry's on this machine: takes OTLP over HTTP, as the real ones do, and remembers it."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.local_http import LocalHttp


class Collector(LocalHttp):
    """Serves while its block runs.

    Args:
        hangs: Whether it takes requests and never answers.
    """

    def __init__(self, *, hangs: bool = False) -> None:
        self.raw = b""
        self.asked = set[str]()  # paths
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}  # by name, as they were told last
        self.resource: Mapping[str, str] = {}
        self.headers: list[Mapping[str, str]] = []
        self._lock, self._end = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers["Content-Encoding"] == "gzip"
                outer._take(self.path, dict(self.headers), gzip.decompress(body) if packed else body)
                if hangs:
                    outer._end.wait(60)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(Handler)

    def __enter__(self) -> Self:
        return super().__enter__()

    def __exit__(self, *failure: object) -> None:
        self._end.set()
        super().__exit__(*failure)

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        with self._lock:
            self.asked.add(path)
            self.raw += body
            self.headers.append(headers)
            if path == "/v1/traces":
                request = ExportTraceServiceRequest.FromString(body)
                for found in request.resource_spans:
                    self.resource = values(found.resource.attributes)
                    self.spans += [span for scope in found.scope_spans for span in scope.spans]
            elif path == "/v1/metrics":
                for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    self.metrics |= {metric.name: metric for s in measured.scope_metrics for metric in s.metrics}

    def points(self, metric: str) -> list[tuple[Mapping[str, str], Any]]:
        """Attributes and value of each point of a metric."""
        told = self.metrics[metric]
        return [(values(point.attributes), point) for point in getattr(told, told.WhichOneof("data")).data_points]

    def until(self, found: Callable[[], object], seconds: float = 30) -> None:
        """Wait for an outcome."""
        deadline = time.monotonic() + seconds
        while not found() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (
            found()
        ), f"requests came to {sorted(self.asked)}, {len(self.spans)} spans, metrics {sorted(self.metrics)}"


def values(attributes: Any) -> Mapping[str, str]:
    """Attributes of the protocol as texts."""
    return {entry.key: str(getattr(entry.value, entry.value.WhichOneof("value"))) for entry in attributes}
