"""Traces and metrics at a collector of this machine, from the service as it runs."""

from __future__ import annotations

import json
import re
import time

import yaml  # type: ignore[import-untyped]

from service.telemetry import ATTRIBUTES, FLUSH_SECONDS, OF_METRICS
from tests.support.api.environments import NO_DATABASE
from tests.support.api.markers import MARKERS, leaked, provoke
from tests.support.api.server import ROOT, Server
from tests.support.collector import Collector, values
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

# FastAPI itself imports the bare API where it is installed.
_OURS = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation", "service.telemetry")
_FORGED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "200"}


def environment(issuer: Issuer, database: str, collector: str) -> dict[str, str]:
    return {**issuer.environment(), "DATABASE_URL": database, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}


def test_a_collector_gets_traces_and_metrics_and_nothing_of_what_a_caller_sent(
    module_issuer: Issuer, module_database: Database
) -> None:
    """With the usual delays, which are longer than this takes: what was not sent yet is sent as the process ends."""
    with Collector() as collector:
        variables = environment(module_issuer, module_database.url(), collector.url)
        variables |= {
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=example",
            # What operators turn on elsewhere, and what would be the leak.
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
            "OTEL_METRICS_EXEMPLAR_FILTER": "always_on",
        }
        with Server(variables, "tests.support.api.serve") as server:
            provoke(server, module_issuer)
            told = {"traceparent": _FORGED, "tracestate": f"x={MARKERS['header']}", "baggage": f"x={MARKERS['header']}"}
            answer = server.get("/api/v1/auth/validate", module_issuer.token("acme"), headers=told)
            assert answer.status_code == 200
            assert server.get("/api/v1/health/live").status_code == 200
            refused = server.get("/api/v1/auth/validate").json()["error"]["code"]
            events = server.events()
            assert server.stop() == 0

    assert leaked(collector.raw.decode("latin-1")) == []
    assert b"eyJ" not in collector.raw
    assert {entry.key for span in collector.spans for entry in span.attributes} <= ATTRIBUTES
    assert not [s for s in collector.spans if s.events or s.links or s.status.message or s.trace_state]
    for metric in collector.metrics:
        assert {name for attributes, _ in collector.points(metric) for name in attributes} <= OF_METRICS, metric
        assert not [point for _, point in collector.points(metric) if point.exemplars], metric
    assert {headers["api-key"] for headers in collector.headers} == {"example"}
    assert collector.resource["service.name"] == "signalbox"

    # A line of the log and a span for each request, of one trace and of one caller; none of health.
    lines = {event["request_id"]: event for event in events if event["message"] == "request"}
    lines = {request: line for request, line in lines.items() if "/health/" not in (line["route"] or "")}
    by_request = {values(span.attributes).get("request.id"): span for span in collector.spans if span.kind == 2}
    assert lines.keys() <= by_request.keys()
    assert not [span for span in collector.spans if "health" in span.name]
    for request, line in lines.items():
        span = by_request[request]
        known = values(span.attributes)
        assert line["trace_id"] == span.trace_id.hex()
        assert (known.get("tenant.id"), known.get("user.id")) == (line.get("tenant_id"), line.get("user_id"))
        assert known["http.response.status_code"] == str(line["status"])
        assert ("error.type" in known) is (line["status"] >= 400)
    assert "SYS_001" in {values(span.attributes).get("error.type") for span in by_request.values()}
    mine = by_request[answer.headers["X-Request-ID"]]
    assert (mine.trace_id.hex(), mine.parent_span_id.hex()) == tuple(_FORGED.split("-")[1:3])
    assert mine.name == "GET /api/v1/auth/validate"
    statements = {span.name for span in collector.spans if span.name.startswith("postgresql ")}
    assert "postgresql INSERT" in statements
    requests = {span.trace_id for span in collector.spans if span.kind == 2}
    asked = [span for span in collector.spans if "db.system.name" in values(span.attributes)]
    assert {span.trace_id for span in asked} <= requests, "what readiness asks each second is in no trace"
    assert [span for span in collector.spans if span.kind == 3 and span.name == "GET"], "the fetch of the keys"

    counted = collector.points("http.server.request.duration")
    assert sum(point.count for _, point in counted) == len(lines)
    assert refused in {attributes.get("error.type") for attributes, _ in counted}
    (age,) = collector.points("signalbox.keys.age")
    assert age[1].as_double < 600
    assert "database" in {a["signalbox.check"] for a, _ in collector.points("signalbox.check.state")}
    assert {a["db.client.connection.state"] for a, _ in collector.points("db.client.connection.count")} == {
        "used",
        "idle",
    }

    watches_what_there_is(collector)


def watches_what_there_is(collector: Collector) -> None:
    """Each metric and label that dashboard and alert rules ask for was told, and each metric is watched."""
    examples = ROOT / "examples/observability"
    panels = json.loads((examples / "dashboard.json").read_text())["panels"]
    (group,) = yaml.safe_load((examples / "alerts.yml").read_text())["groups"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += [rule["expr"] for rule in group["rules"]]
    for rule in group["rules"]:  # a comma in a text is no further annotation, which Prometheus would refuse
        assert rule["annotations"].keys() == {"summary", "next"}, rule["alert"]
        assert all(isinstance(text, str) for text in rule["annotations"].values()), rule["alert"]
    told = {name: metric for metric in collector.metrics for name in in_prometheus(collector, metric)}
    labels = {name.replace(".", "_") for name in OF_METRICS}
    watched = set()
    for expression in asked:
        selectors = re.findall(r"([a-z_]+)\{([^}]*)\}", expression)
        assert selectors, expression
        assert {name for name, _ in selectors} <= told.keys(), expression
        watched |= {told[name] for name, _ in selectors}
        used = {label for _, inside in selectors for label in re.findall(r"(\w+)[!=]", inside)}
        used |= {label for inside in re.findall(r"by \(([^)]*)\)", expression) for label in inside.split(", ")}
        assert used <= labels | {"le", "instance"}, expression
    assert watched == collector.metrics.keys()


def in_prometheus(collector: Collector, metric: str) -> list[str]:
    """The names under which Prometheus keeps a metric of OTLP (its translation, with suffixes)."""
    told = collector.metrics[metric]
    name = metric.replace(".", "_") + {"s": "_seconds", "1": "_ratio"}.get(told.unit, "")
    if told.WhichOneof("data") == "histogram":
        return [f"{name}_{part}" for part in ("bucket", "count", "sum")]
    return [f"{name}_total" if told.WhichOneof("data") == "sum" and told.sum.is_monotonic else name]


def test_a_collector_that_hangs_harms_nothing(issuer: Issuer) -> None:
    with Collector(hangs=True) as collector:
        variables = environment(issuer, NO_DATABASE, collector.url) | SOON
        variables |= {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16"}
        with Server(variables) as server:
            token = issuer.token("acme")
            assert {server.get("/api/v1/auth/validate", token).status_code for _ in range(200)} == {200}
            collector.until(lambda: {"/v1/traces", "/v1/metrics"} <= collector.asked)
            assert len([e for e in server.events() if e["message"] != "request"]) < 60, "a line for each lost span"
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < FLUSH_SECONDS + 8
    assert not [event for event in server.events() if event["message"] == "stop_forced"]


def test_without_a_collector_nothing_of_it_is_imported(issuer: Issuer) -> None:
    variables = {**issuer.environment(), "DATABASE_URL": NO_DATABASE, "PYTHONPROFILEIMPORTTIME": "1"}
    with Server(variables, fresh=True) as server:
        assert server.get("/api/v1/auth/validate").status_code == 401
        assert server.stop() == 0  # the log is read to its end
    assert any("service.app" in line for line in server.lines)
    assert not [line for line in server.lines if any(name in line for name in _OURS)]
