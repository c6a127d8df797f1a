"""What may reach no log and no collector: texts in every place that a caller fills, and every way to fail."""

from __future__ import annotations

from typing import Any

from tests.support.api.server import Server
from tests.support.idp.issuer import Issuer

# Each is put where it could leak from; none may come out anywhere.
MARKERS = {
    "path": "ssn-111-22-3333",
    "query": "diagnosis-hiv",
    "body": "mrn-4444444",
    "header": "patient-jane-roe",
    "token": "born-1970-01-01",
    "request_id": "jane-roe-1970",
    "origin": "clinic-of-jane",
    "user_agent": "janes-phone",
    "cookie": "cookie-of-jane",
}


def provoke(server: Server, issuer: Issuer) -> set[int]:
    """Every way to fail that we know of, with a marker in every place there is."""
    m = MARKERS
    headers = {
        "X-Patient": m["header"],
        "X-Request-ID": m["request_id"],
        "Origin": f"https://{m['origin']}.example",
        "User-Agent": m["user_agent"],
        "Cookie": f"session={m['cookie']}",
    }
    note = {"body": m["body"], "slug": m["body"]}
    good = issuer.token("acme", name=m["token"], email=f"{m['token']}@example.com")
    calls: list[tuple[str, str, str | None, dict[str, Any]]] = [
        ("GET", f"/{m['path']}?q={m['query']}", None, {}),
        ("GET", f"/api/v1/notes/{m['path']}?q={m['query']}", good, {}),
        ("GET", f"/api/v1/auth/validate?access_token={m['query']}", m["token"], {}),
        ("GET", "/api/v1/auth/validate", issuer.token(m["token"] + "'"), {}),
        ("GET", "/api/v1/auth/validate", issuer.token(iss=m["token"]), {}),
        ("GET", "/api/v1/auth/validate", issuer.token(header={"kid": m["token"]}), {}),
        ("GET", "/api/v1/auth/validate", issuer.token(header={"alg": m["token"]}), {}),
        ("GET", f"/api/v1/auth/validate?q={m['query']}", good, {}),
        (m["path"].upper(), "/api/v1/health/live", None, {}),  # no such method: the server itself answers
        ("DELETE", f"/api/v1/health/live?q={m['query']}", None, {}),
        ("POST", "/api/v1/notes", good, {"json": note}),
        ("POST", "/api/v1/notes", good, {"json": note}),  # a duplicate: PostgreSQL's message quotes the row
        ("POST", "/api/v1/notes", good, {"json": {"wrong": m["body"]}}),
        ("POST", "/api/v1/notes", good, {"json": {"body": m["body"] + "\x00"}}),
        ("POST", "/api/v1/notes", good, {"content": m["body"].encode()}),
        ("POST", "/api/v1/notes/then-fail", good, {"json": {"body": m["body"]}}),
        ("POST", f"/api/v1/notes/stolen/{m['path']}", good, {}),
        ("POST", "/api/v1/notes/broken-sql", good, {}),
        ("POST", "/api/v1/notes", good, {"json": {"body": m["body"] * 200_000}}),
    ]
    seen = set()
    for method, path, token, options in calls:
        answer = server.request(method, path, token, headers=headers, **options)
        seen.add(answer.status_code)
        assert not leaked(answer.text.replace(note["body"], "")), "an answer repeats input"
    return seen


def leaked(text: str) -> list[str]:
    return [place for place, marker in MARKERS.items() if marker.lower() in text.lower()]
