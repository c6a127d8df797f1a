"""Traces and metrics for an OpenTelemetry collector; imported only where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names one.

What the instrumentation packages say of a request (its path, its query, a browser's name, a statement, the text of an
exception) may be health data. So each span is made anew before it leaves, of the attributes in one list, and a metric
has no others. docs/OBSERVABILITY.md says what there is to watch.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.metrics import CallbackOptions, NoOpMeterProvider, Observation
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import __version__
from service.http.head import TRACE
from service.http.request import METHODS
from service.http.server import Server
from service.http.shape import CODE
from service.log import log_context
from service.running import running
from service.settings import Settings

FLUSH_SECONDS: Final = 2.0  # at the end; less than what service.http.server leaves to threads then
# Ids, numbers and names of ours: no more than the log holds.
OF_METRICS: Final = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "error.type",
        "db.client.connection.state",
        "signalbox.check",
        "signalbox.provider",
    }
)
ATTRIBUTES: Final = OF_METRICS | {
    "db.system.name",
    "network.protocol.version",
    "request.id",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "server.address",
    "server.port",
    "tenant.id",
    "url.scheme",
    "user.id",
}
_OF_THE_CALLER: Final = frozenset({"server.address", "server.port"})  # of a request that comes in: its Host header
_IDS: Final = {"request.id": "request_id", "tenant.id": "tenant_id", "user.id": "user_id"}
_STATEMENTS: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "SET", "CREATE", "ALTER", "DROP"})
# Seconds; those that the conventions of OpenTelemetry advise for HTTP.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Scrubbed(SpanExporter):
    """Hands on of each span of a request, and of each call to others, what is on the list.

    Args:
        exporter: Takes it.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See ``SpanExporter``."""
        told = [_scrubbed(span) for span in spans if not _behind_requests(span)]
        return self._exporter.export(told) if told else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """See ``SpanExporter``."""
        self._exporter.shutdown()


def _behind_requests(span: ReadableSpan) -> bool:
    """A statement that belongs to no request: readiness asks one each second, and each would be a trace of its own."""
    return span.parent is None and "db.system.name" in (span.attributes or {})


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    allowed = ATTRIBUTES - _OF_THE_CALLER if span.kind is SpanKind.SERVER else ATTRIBUTES
    kept = {name: value for name, value in (span.attributes or {}).items() if name in allowed}
    return ReadableSpan(  # no events and no links; a status without its description, which quotes an exception
        name=_name(span, kept),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _name(span: ReadableSpan, kept: dict[str, Any]) -> str:
    if "db.system.name" in kept:
        word = span.name.partition(" ")[0].upper()
        return f"{kept['db.system.name']} {word if word in _STATEMENTS else 'statement'}"
    if "rpc.service" in kept:
        return f"{kept['rpc.service']}.{kept.get('rpc.method', 'call')}"
    return " ".join(str(kept[part]) for part in ("http.request.method", "http.route") if part in kept) or "work"


class _Incoming(TextMapPropagator):
    """Takes a caller's trace id and nothing else that callers write there, and tells nobody ours."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        read = TraceContextTextMapPropagator().extract(carrier, context, getter)
        told = trace.get_current_span(read).get_span_context()
        ids = SpanContext(told.trace_id, told.span_id, is_remote=True, trace_flags=told.trace_flags)
        return trace.set_span_in_context(NonRecordingSpan(ids), context)

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None: ...

    @property
    def fields(self) -> set[str]:
        return set()


class Telemetry:
    """The application with traces and metrics; the SDK's own variables say how many, and how long it tries.

    Args:
        app: The application.
        served: What the server is given of it.
        vital: Paths that the platform asks all the time: of these there is neither.
        settings: Where the collector is.
        name: Of the service, where ``OTEL_SERVICE_NAME`` does not give one.
    """

    def __init__(self, app: FastAPI, served: ASGIApp, vital: Iterable[str], settings: Settings, name: str) -> None:
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"  # the names of attributes that are here to stay
        collector = f"{settings.otel_exporter_otlp_endpoint}".rstrip("/")
        resource = Resource.create(
            {
                SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or name,
                SERVICE_VERSION: __version__,
                "deployment.environment.name": settings.environment,
            }
        )
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(BatchSpanProcessor(Scrubbed(OTLPSpanExporter(f"{collector}/v1/traces"))))
        self._meters = MeterProvider(
            resource=resource,
            metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(f"{collector}/v1/metrics"))],
            views=[View(instrument_name="*", attribute_keys=set(OF_METRICS))],
            exemplar_filter=AlwaysOffExemplarFilter(),  # an exemplar holds the very attributes that a view takes away
            shutdown_on_exit=False,
        )
        set_global_textmap(_Incoming())
        # Their metrics have no route in them, and some have numbers of any size that a caller writes: ours do not.
        quiet: dict[str, Any] = {"tracer_provider": self._tracers, "meter_provider": NoOpMeterProvider()}
        HTTPXClientInstrumentor().instrument(**quiet)
        BotocoreInstrumentor().instrument(**quiet)  # type: ignore[no-untyped-call]
        # It names versions below 2.1, and of ours nothing that it listens to has changed: the test sees its spans.
        SQLAlchemyInstrumentor().instrument(engine=running(app).engine.sync_engine, skip_dep_check=True, **quiet)
        self._app, self._served, self._vital = app, served, frozenset(vital)
        self._traced: Any = OpenTelemetryMiddleware(self._noted, exclude_spans=["receive", "send"], **quiet)
        meter = self._meter = self._meters.get_meter("signalbox", __version__)
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            "s",
            "Requests, by route, status and, where one was refused, error code.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.server.active_requests", "{request}", "Requests that are being served."
        )
        for metric, unit, told, description in (
            ("db.client.connection.count", "{connection}", self._connections, "Connections of the pool, by state."),
            ("db.client.connection.max", "{connection}", self._most, "Connections that the pool may open."),
            ("signalbox.check.state", "", self._checks, "Readiness: 1 ok, 0.5 stale, 0 unavailable."),
            ("signalbox.keys.age", "s", self._ages, "Seconds since a provider's keys were fetched."),
        ):
            meter.create_observable_gauge(metric, [_callback(told)], unit, description)

    def watch(self, server: Server) -> None:
        """Also tell what the server refuses before the application sees it.

        Args:
            server: Serves the application.
        """
        self._meter.create_observable_counter(
            "signalbox.overload.refusals",
            [_callback(lambda: [(server.server_state.refused, {})])],
            "{request}",
            "Requests that were refused with SYS_011 as they arrived.",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of ASGI's."""
        plain = scope["type"] != "http" or scope["path"] in self._vital
        await (self._served if plain else self._traced)(scope, receive, send)

    async def _noted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Who called and which route it was are known once the answer begins."""
        span = trace.get_current_span()
        scope[TRACE] = f"{span.get_span_context().trace_id:032x}"
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            begins = message["type"] == "http.response.start"
            if begins:
                status = message["status"]
            await send(message)
            if begins:  # after what the package says of it, which knows no error codes
                context = log_context.get()
                span.set_attributes({name: context[field] for name, field in _IDS.items() if field in context})
                span.set_attributes(_outcome(scope, status))

        self._active.add(1)
        try:
            await self._served(scope, receive, noted)
        finally:
            self._active.add(-1)
            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            told = {"http.request.method": method, "http.response.status_code": status, **_outcome(scope, status)}
            self._duration.record(time.perf_counter() - started, told)

    def _connections(self) -> Iterator[tuple[float, dict[str, str]]]:
        pool = running(self._app).engine.pool
        for state, count in (("used", pool.checkedout()), ("idle", pool.checkedin())):  # type: ignore[attr-defined]
            yield count, {"db.client.connection.state": state}

    def _most(self) -> Iterator[tuple[float, dict[str, str]]]:
        yield running(self._app).settings.connections, {}

    def _checks(self) -> Iterator[tuple[float, dict[str, str]]]:
        for name, state in running(self._app).readiness.report().states.items():
            yield {"ok": 1.0, "stale": 0.5}.get(state, 0.0), {"signalbox.check": name}

    def _ages(self) -> Iterator[tuple[float, dict[str, str]]]:
        for name, age in running(self._app).ages.items():
            if (seconds := age()) is not None:
                yield seconds, {"signalbox.provider": name}

    def close(self) -> None:
        """Send what is left, for two seconds at most: a collector that is away must not hold up the end."""
        threads = [threading.Thread(target=p.shutdown, daemon=True) for p in (self._tracers, self._meters)]
        until = time.monotonic() + FLUSH_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _outcome(scope: Scope, status: int) -> dict[str, str]:
    found: dict[str, str] = {}
    if (route := getattr(scope.get("route"), "path_format", None)) is not None:
        found["http.route"] = route
    if status >= 400:
        found["error.type"] = scope.get(CODE, str(status))
    return found


def _callback(
    told: Callable[[], Iterable[tuple[float, dict[str, str]]]],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, attributes) for value, attributes in told()]
