"""The documents that are tables: each made from the data of the code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from infra.aws.alarms import EVENT_ALARMS, LOG_ALARMS, METRIC_ALARMS
from infra.aws.register import REGISTER
from infra.product import STAGES
from infra.stage import costs
from infra.stage.effects import EFFECTS
from infra.stage.outputs import OUTPUTS
from infra.stage.record import Stage
from service import settings
from service.auth.providers.causes import CAUSES
from service.auth.providers.presets import PRESETS, Preset
from service.feature import all_errors, settings_of
from service.product import FEATURES


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; ``|`` in a cell is escaped."""
    head = list(header)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _reference(title: str, source: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A page of docs/reference/."""
    return f"# {title}\n\nThis page is generated from {source}: `uv run signalbox docs`.\n\n{table(header, rows)}"


def error_codes() -> str:
    """docs/ERROR_CODES.md, out of the registry."""
    rows = ([f"`{e.code}`", str(e.status), e.message, e.detail, e.action] for e in all_errors(FEATURES).values())
    return (
        "# Error codes\n\n"
        "Every error has one shape: "
        '`{"error": {"code": "AUTH_001", "message": "Invalid token", "detail": "Token expired"}}`. '
        "Branch on `code`: it is stable, and never used again for another cause. "
        "401 and 403 carry `WWW-Authenticate` (RFC 6750), 503 carries `Retry-After` unless the outcome is unknown. "
        "The log line of a refusal has the same code, and a finer `reason` where there is one; find it by the "
        "`X-Request-ID` of the answer.\n\n"
        "This page is generated from `service/errors.py` and the features: `uv run signalbox docs`.\n\n"
        + table(("code", "status", "message", "detail", "what to do"), rows)
    )


def variables(groups: settings.Groups | None = None) -> str:
    """The reference of environment variables, out of the settings and the environment's table.

    Args:
        groups: Settings of features; None takes those of the product.
    """
    from infra.environment import table as environment

    groups = settings_of(FEATURES) if groups is None else groups
    known = {v.name: v for v in settings.variables(groups)}
    rows = []
    for row in environment.rows(groups):
        v = known.get(row.name)
        needed = "no" if v is None else "yes" if v.required else f"`{v.default}`" if v.default else "no"
        text = row.description or (v.description if v else "")
        example = f"`{v.example}`" if v else ""
        sealed = "sealed" if row.sealed else ""
        rows.append([f"`{row.name}`", text, needed, row.stage.text, row.trial.text, sealed, example])
    head = ("variable", "meaning", "required, or default", "in a stage", "in the trial", "sealed", "example")
    sources = "`service/settings/fields.py`, the features' settings and `infra/environment/table.py`"
    return _reference("Variables", sources, head, rows)


def env_example(groups: settings.Groups | None = None) -> str:
    """.env.example: Railway offers what it finds in it, so that it holds every variable and placeholders only.

    Args:
        groups: Settings of features; None takes those of the product.
    """
    from infra.environment.table import TABLE

    sealed = {row.name for row in TABLE if row.sealed}
    text = (
        "# Every variable the service reads. `signalbox up` and `signalbox deploy` write them; this is for reading,\n"
        "# and for setting one by hand. What is commented out has a default or is optional.\n"
        "# Generated from the settings of core and features, and infra/environment/table.py: uv run signalbox docs\n"
    )
    for v in settings.variables(settings_of(FEATURES) if groups is None else groups):
        name, mark = v.name.replace("<NAME>", "EXAMPLE"), "" if v.required else "# "
        notes = [
            "required" if v.required else f"default: {v.default}" if v.default else "",
            "keep sealed" if v.name in sealed else "",
        ]
        note = ", ".join(filter(None, notes))
        text += f"\n# {v.description}{f' ({note})' if note else ''}\n{mark}{name}={_quoted(v.example)}\n"
    return text


def _quoted(value: str) -> str:
    """As a dotenv file takes it."""
    return f"'{value}'" if set(value) & set('"{}# ') else value


def outputs() -> str:
    """What the stacks tell the outside."""
    rows = ([f"`{o.stack}`", f"`{o.key}`", o.description + (" (if the stage has it)" * o.optional)] for o in OUTPUTS)
    return _reference("Outputs of the stacks", "`infra/stage/outputs.py`", ("stack", "output", "what it is"), rows)


def alarms() -> str:
    """What somebody is woken for."""
    metrics = (
        [f"`{a.name}`", f"{a.namespace or 'the router says'} {a.metric}, {a.compare} {a.threshold:g}", a.why]
        for a in METRIC_ALARMS
    )
    logs = ([f"`{a.name}`", f"{a.threshold} lines in 5 minutes of the log `{a.log}`", a.why] for a in LOG_ALARMS)
    events = ([f"`{a.name}`", f"each day, {', '.join(a.pattern['detail-type'])}", a.why] for a in EVENT_ALARMS)
    return _reference("Alarms", "`infra/aws/alarms.py`", ("alarm", "when", "what it means"), [*metrics, *logs, *events])


def findings() -> str:
    """Every finding of a rule pack that is acknowledged."""
    rows = (
        [f"`{r.rule.partition('::')[2]}`", ", ".join(f"`{p}`" for p in r.paths), ", ".join(r.stages), r.reason, r.owner,
         f"{r.review:%Y-%m-%d}"]
        for r in REGISTER
    )  # fmt: skip
    head = ("rule", "where", "stages", "why it stands", "owner", "review by")
    return _reference("Acknowledged findings", "`infra/aws/register.py`", head, rows)


def stages() -> str:
    """What differs between the stages."""
    rows: list[tuple[str, Callable[[Stage], str]]] = [
        ("how strict the service is", lambda s: s.environment),
        ("proof to AWS", lambda s: "certificate (Roles Anywhere)" if s.access == "roles-anywhere" else "IAM user"),
        ("way to the database", lambda s: "subnet router" if s.subnet_router else "this machine"),
        ("addresses, NAT gateways", lambda s: f"{s.network.cidr}, {s.network.nat_gateways}"),
        ("database", lambda s: f"{s.database.instance_type}, {'two zones' if s.database.multi_az else 'one zone'}"),
        ("automated backups", lambda s: f"{s.database.backup_days} days"),
        ("Cognito plan, second factor", lambda s: f"{s.cognito_plan}, {'required' if s.mfa_required else 'off'}"),
        ("audit trail", lambda s: "own" if s.watch.trail else "none of its own"),
        ("budget, US dollars a month", lambda s: str(s.watch.budget_usd or "none")),
        ("outlives its stacks", lambda s: "yes" if s.retain else "no"),
    ]
    told = ([name, *(tell(record) for record in STAGES.values())] for name, tell in rows)
    return _reference("Stages", "`infra/product.py`", ("", *STAGES), told)


def prices() -> str:
    """What each stage costs a month, and the list of prices that it was reckoned with."""
    deployed = [record for name, record in STAGES.items() if name != "local"]
    lines = [{line.what: line for line in costs.monthly(record)} for record in deployed]
    rows = [
        [what, *(f"{one[what].dollars:.0f} ({one[what].note})" if what in one else "-" for one in lines)]
        for what in dict.fromkeys(what for one in lines for what in one)
    ]
    rows.append(["**about, a month**", *(f"**{sum(line.dollars for line in one.values()):.0f}**" for one in lines)])
    used = costs.ASSUMED
    return (
        "# Costs of the stages\n\n"
        "This page is generated from `infra/stage/costs.py` and `infra/product.py`: `uv run signalbox docs`. US "
        f"dollars a month, list prices of {costs.REGION}, put together on {costs.DATE}; estimates, without taxes, "
        f"free tiers, alarms, copies of backups and traffic out of AWS. Taken to be used: {used.users:,} active users, "
        f"{used.logs_gb:g} GB of logs a month kept for {used.months} months so far, "
        f"{used.traffic_gb:g} GB through NAT gateways.\n\n"
        + table(("", *(record.name for record in deployed)), rows)
        + "\n## Prices\n\n"
        + table(
            ("what", "US dollars", "for each", "source"),
            ([name, f"{one.dollars:g}", one.unit, one.source] for name, one in costs.PRICES.items()),
        )
    )


def effects() -> str:
    """What a change of each field of a stage does."""
    rows = ([f"`{row.field}`", row.change or "any", row.what, row.words] for row in EFFECTS)
    header = ("field", "change", "does", "in words")
    return _reference("Changes of a stage", "`infra/stage/effects.py`", header, rows)


def presets() -> str:
    """What each kind of provider implies, out of the presets."""
    header = (
        "kind",
        "accepted token",
        "algorithms",
        "`typ`",
        "must have",
        "client",
        "user",
        "scopes",
        "tenant",
        "sign-out",
    )
    rows = (_preset_row(kind, preset) for kind, preset in PRESETS.items())
    return _reference("Presets of identity providers", "`service/auth/providers/presets.py`", header, rows)


def causes() -> str:
    """Why a provider cannot be asked, as the log and `auth check` name it."""
    rows = ([f"`{name}`", text] for name, text in CAUSES.items())
    header = ("`cause`, or `reason`, of a log line", "what it is, and what to do")
    return _reference("Causes", "`service/auth/providers/causes.py`", header, rows)


def _preset_row(kind: str, preset: Preset) -> list[str]:
    required = ", ".join(f"`{name}` = `{value}`" for name, value in preset.required.items())
    refused = f"no {', '.join(f'`{name}`' for name in sorted(preset.refused))}" if preset.refused else ""
    return [
        f"`{kind}`",
        "access" if preset.accepted == "access" else "ID",
        ", ".join(sorted(preset.algorithms)),
        ", ".join(sorted(name or "none" for name in preset.types)),
        "; ".join(part for part in (required, refused) if part) or "-",
        " or ".join(f"`{name}`" for name in preset.client_id_claims),
        f"`{preset.subject_claim}`",
        f"`{preset.scope_claim}`",
        " or ".join(f"`{' > '.join(path)}`" for path in preset.tenant_paths),
        preset.logout,
    ]
