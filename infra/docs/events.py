"""docs/HIPAA_AUDIT_EVENTS.md: the events that the code emits, read from the code, and what each audit event is for.

Names, levels and fields come from the calls of the logger; ``AUDIT`` adds what only a person knows. An audit event that
the code does not emit stops the generation, so no row can outlive its line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from infra.shell.failure import Failure
from infra.shell.paths import ROOT

# What 45 CFR 164.312(b) is asked for: who did what, and with which outcome; and what endangers the answer to that.
AUDIT: Final[Mapping[str, str]] = {
    "request": "every request, admitted or not: the caller, the route's template, the status",
    "refused": "a token, a tenant, a sign-in or an input was refused; `code` and `reason` say which rule",
    "permission_denied": "a caller who is known asked for what the role does not allow",
    "signed_in": "a person signed in through a provider",
    "saml_sessions_ended": "a provider ended sessions of a person",
    "saml_sign_in_too_old": "a provider vouched with a sign-in that was too long ago",
    "saml_library_refused": "the SAML library refused what our rules admitted",
    "signing_keys_changed": "a provider signs with other keys",
    "signing_keys_fetch_failed": "a provider's keys could not be fetched",
    "saml_certificates_changed": "a SAML provider signs with other certificates",
    "saml_certificate_expires": "a certificate that responses are signed with ends soon",
    "token_signing_key_changed": "we sign tokens with another key",
    "kms_call_failed": "the key that signs our tokens could not be used",
    "ended_sessions_unknown": "whether a session was ended could not be asked",
    "secret_read_failed": "a secret could not be read",
    "database_login_unbound": "the database login bypasses the isolation of tenants: it is refused, callers get 503",
    "log_fields_undeclared": "a field that no feature declares was kept out of the log",
    "unhandled_exception": "a failure of ours; type and places, never a message",
    "started": "the service began to serve",
    "stopped": "the service ended in good order",
    "process_failed": "the service ended by a failure of ours",
}

_EVERY_LINE: Final = ("timestamp", "level", "message")
_IN_A_REQUEST: Final = ("service/http/", "service/auth/login/", "service/principal.py")  # where its ids are known
_ANY: Final = '"…"'
_EXAMPLES: Final[Mapping[str, str]] = {
    "timestamp": '"2026-11-26T15:00:00.000000Z"',
    "request_id": '"01981c5e-0000-7000-8000-000000000000"',
    "tenant_id": '"acme"',
    "user_id": '"00u1a2b3c4"',
    "method": '"GET"',
    "route": '"/api/v1/notes/{note_id}"',
    "status": "200",
    "duration_ms": "4.2",
    "code": '"AUTH_009"',
    "reason": '"iat"',
    "provider": '"okta"',
    "audit": "true",
    "days": "21",
    "keys": "2",
    "certificates": "2",
    "position": "1",
    "age": "310.5",
    "side": '"provider"',
    "environment": '"production"',
    "version": '"1.4.0"',
}
# Where the value above would be one that this event never has.
_OTHERWISE: Final[Mapping[str, Mapping[str, str | None]]] = {
    "refused": {"tenant_id": None, "user_id": None},  # whose token is refused is not known
    "permission_denied": {"code": '"FILES_004"'},
    "saml_sign_in_too_old": {"reason": '"signed_in_recently: …"'},
    "saml_library_refused": {"reason": '"OneLogin_Saml2_ValidationError"', "code": "38"},
    "ended_sessions_unknown": {"code": '"SYS_002"'},
    "kms_call_failed": {"reason": '"EndpointConnectionError"'},
    "secret_read_failed": {"reason": '"ClientError"'},
}
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")


@dataclass
class Emitted:
    """What the code says of an event: levels, fields, and the files it comes from."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


def emitted() -> Mapping[str, Emitted]:
    """Every event of the service and its migrations, by name."""
    found: dict[str, Emitted] = {}
    for folder in ("service", "migrations"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for level, call in _calls(ast.parse(file.read_text(encoding="utf-8"))):
                for name in _names(call.args):
                    event = found.setdefault(name, Emitted())
                    event.levels.add(level)
                    event.fields |= {
                        "exception" if word.arg == "exc_info" else word.arg for word in call.keywords if word.arg
                    }
                    event.files.add(str(file.relative_to(ROOT)))
    return dict(sorted(found.items()))


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and isinstance(called, ast.Attribute) and called.attr in _LEVELS:
            yield called.attr, node


def _names(arguments: list[ast.expr]) -> Iterator[str]:
    """A literal that is one word, or those between which an expression chooses: whatever the logger is called."""
    for node in (inner for argument in arguments[:1] for inner in ast.walk(argument)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z][a-z_]+", node.value):
            yield node.value


def page() -> str:
    """docs/HIPAA_AUDIT_EVENTS.md.

    Raises:
        Failure: The table has an event that the code does not emit.
    """
    known = emitted()
    if gone := sorted(AUDIT.keys() - known.keys()):
        raise Failure(f"AUDIT of infra/docs/events.py has {', '.join(gone)}, and no call of a logger: mend the row")
    audit = "".join(_section(name, known[name]) for name in AUDIT)
    rest = ((name, event) for name, event in known.items() if name not in AUDIT)
    return _HEAD + audit + _REST + "".join(_row(name, event) for name, event in rest)


def _row(name: str, event: Emitted) -> str:
    files = ", ".join(f"`{file}`" for file in sorted(event.files))
    return f"| `{name}` | {', '.join(sorted(event.levels))} | {_listed(event.fields)} | {files} |\n"


def _section(name: str, event: Emitted) -> str:
    values = {**_EXAMPLES, **_OTHERWISE.get(name, {}), "level": f'"{sorted(event.levels)[0]}"', "message": f'"{name}"'}
    ids = ("request_id", "tenant_id", "user_id") if any(file.startswith(_IN_A_REQUEST) for file in event.files) else ()
    shown = {key: values.get(key, _ANY) for key in (*_EVERY_LINE, *ids, *sorted(event.fields))}
    line = ", ".join(f'"{key}": {value}' for key, value in shown.items() if value is not None)
    return (
        f"\n### `{name}`\n\n{AUDIT[name][0].upper()}{AUDIT[name][1:]}.\n\n"
        f"Level {', '.join(sorted(event.levels))}; fields of its own: {_listed(event.fields)}; "
        f"from {', '.join(f'`{file}`' for file in sorted(event.files))}.\n\n```json\n{{{line}}}\n```\n"
    )


def _listed(fields: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(fields)) or "none"


_HEAD: Final = """# Audit events

What the service writes today that an audit asks for (45 CFR 164.312(b)): one JSON object a line, on stdout. Names,
levels and fields are read from the calls in the code; this page is generated from `infra/docs/events.py`:
`uv run signalbox docs`.

| | |
| --- | --- |
| who | `user_id` (the subject of the verified token; a digest where it is an e-mail address) and `tenant_id` |
| what | `message`, `route` (the template of the path, never the path), `method` |
| when | `timestamp`, UTC |
| where | `request_id`, which the answer carries as `X-Request-ID`; the platform's ids beside it where it sends them |
| outcome | `status`; of a refusal `code` and `reason` |

**Retention.** Railway keeps logs for 90 days at the tier that has an agreement, and stdout is not an audit store:
forward it to a log group that is encrypted and kept for six years, as those of the stacks are (docs/INFRASTRUCTURE.md).
Sign-ins at Cognito, calls of AWS and accesses to documents are recorded there by AWS itself.
The append-only table of the application is a later feature ([stretch/audit-log.md](stretch/audit-log.md)).

**What no line has**: bodies, queries, paths, headers, tokens, names, messages of libraries or of the database
(`tests/service/test_log.py`). Fields of a request are `request_id`, `tenant_id`, `user_id`, and `trace_id`,
`railway_request_id` where the platform sends them; an id that is not known yet is left out.

## Audit events
"""
_REST: Final = """
## Other events

For operators; none is about a person.

| event | level | fields | from |
| --- | --- | --- | --- |
"""
