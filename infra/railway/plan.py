"""What is different between a project as it should be and as Railway has it. Looks, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from infra.environment.build import judge
from infra.environment.guard import looks_secret
from infra.railway import sealed
from infra.railway.owned import SERVICES, SETTINGS, TELLING, Owned
from infra.railway.project import Project, Service
from infra.railway.state import Domain, Held, Instance, State
from infra.shell.failure import Failure
from infra.stage.variables import SEALED_PREFIX

SEALED: Final = "(sealed)"
RAILWAY_DOMAIN: Final = ".up.railway.app"
_REGIONS: Final = "multiRegionConfig"
_OTHER: Final[Mapping[str, frozenset[str]]] = dict.fromkeys(("source", "build", "deploy"), frozenset())
_LONGEST: Final = 100  # characters of a value that are shown


class PlanError(Failure):
    """Railway has something that the plan must not change by itself, or lacks something only a person can give."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        kind: What it is about.
        service: Which service; None for the project itself.
        name: Of the variable, or ``build.builder``, or of what is to be created.
        old: What Railway has, fit to be shown; None for nothing.
        new: What it is to have, fit to be shown; None removes it.
    """

    kind: Literal["project", "environment", "service", "variable", "sealed", "setting", "domain"]
    service: str | None
    name: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        where = f"{self.service}: " if self.service and self.kind != "service" else ""
        sign = "-" if self.new is None else "+" if self.old is None else "~"
        shown = f"  {sign} {where}{self.kind} {self.name}"
        if self.new is None:
            return f"{shown} (was {self.old})" if self.old else shown
        if self.kind in ("project", "environment", "service", "domain"):
            return shown
        return f"{shown} = {self.new}" if self.old is None else f"{shown}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences.

    Attributes:
        state: What Railway has.
        changes: In the order in which they are shown.
        patch: What makes all of them but creations and domains, by service id.
        left: Domains that are the tool's and are no longer wanted.
        foreign: Variables, settings and services that are Railway's or another person's: they stay.
        notes: What a person should know.
    """

    state: State
    changes: tuple[Change, ...]
    patch: Mapping[str, Any] = field(default_factory=dict, repr=False)
    left: tuple[Domain, ...] = ()
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [str(change) for change in self.changes] or ["  nothing to change"]
        if self.foreign:
            lines.append(f"  left alone: {', '.join(self.foreign)}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def plan(project: Project, state: State) -> Plan:
    """Compare.

    Args:
        project: As it should be.
        state: As it is, from ``observe``.

    Raises:
        PlanError: A sealed variable would have to become plain, or a required one has no value anywhere.
        EnvironmentRefused: The service would refuse to start from what is rendered and what remains.
    """
    place = state.place
    changes: list[Change] = []
    if place.project is None:
        changes.append(Change("project", None, project.name, None, ""))
    if place.environment is None:
        changes.append(Change("environment", None, project.environment, None, ""))
    foreign: list[str] = []
    notes = list(state.notes)
    patch: dict[str, Any] = {}
    wanted = {service.name: service for service in project.services}
    owned = Owned()
    for service in project.services:
        service_id = place.services.get(service.name)
        found = _Compared(service, state, service_id, owned)
        if service_id is None:
            changes.append(Change("service", service.name, service.name, None, ""))
        changes += found.changes
        foreign += found.foreign
        notes += found.notes
        if found.patch and service_id is not None:
            patch[service_id] = found.patch
    for name in SERVICES:
        if name in place.services and name not in wanted:
            changes.append(Change("service", name, name, "", None))
            patch[place.services[name]] = {"isDeleted": True}
    foreign += sorted(set(place.services) - {*wanted, *SERVICES})
    api = project.services[0]
    held = state.held.get(place.services.get(api.name, ""), {})
    judge(project.environment, api.variables, {n: h.value or "" for n, h in held.items() if not owned.has(api.name, n)})
    instance = state.instances.get(place.services.get(api.name, ""), Instance())
    left = tuple(_left_over(project, held, instance))
    changes += _domains(project, instance, left)
    return Plan(state, tuple(changes), patch, left, tuple(foreign), tuple(notes))


class _Compared:
    """One service.

    Args:
        service: As it should be.
        state: What Railway has.
        service_id: Its id; None for one that is not there yet.
        owned: Which variables are the tool's.
    """

    def __init__(self, service: Service, state: State, service_id: str | None, owned: Owned) -> None:
        self.service, self._owned = service, owned
        self.held = state.held.get(service_id or "", {})
        self.config: Mapping[str, Any] = state.config.get(service_id or "") or {}
        self.changes: list[Change] = []
        self.notes: list[str] = []
        self.foreign: list[str] = []
        self.patch: dict[str, Any] = {}
        variables = dict(self._variables())
        self._settings()
        if variables:
            self.patch["variables"] = variables

    def _variables(self) -> Iterator[tuple[str, Any]]:
        record = self.held.get(sealed.RECORD)
        known = sealed.read(record.value if record else None)
        sent: dict[str, str] = {}
        for v in self.service.variables:
            there = self.held.get(v.name)
            if v.secret is not None:
                value = v.secret.get_secret_value()
                if self._stale(there, record, known, v.name, value):
                    sent[v.name] = value
                    yield v.name, {"value": value, "isSealed": True, "description": v.description}
            elif v.value is None:
                self._kept(v.name, v.source, there, record)
            elif there is not None and there.sealed:
                raise PlanError(
                    f"{v.name} of service {self.service.name} is sealed on Railway and should be plain; a seal cannot "
                    "be broken: delete it on Railway, then run this again"
                )
            elif there is None or there.value != v.value:
                self._change("variable", v.name, _old(v.name, there), _shown(v.value))
                yield v.name, {"value": v.value, "description": v.description}
        named = {v.name for v in self.service.variables}
        for name, there in self.held.items():
            if name == sealed.RECORD or name in named or name.startswith("RAILWAY_"):
                continue
            if self._owned.has(self.service.name, name):
                self._change("sealed" if there.sealed else "variable", name, _old(name, there), None)
                yield name, None
            else:
                self.foreign.append(f"{self.service.name}.{name}")
        wanted = [v.name for v in self.service.variables if v.sealed]
        after = sealed.written(known, wanted, sent) if wanted else None
        if after is None and record is not None:
            yield sealed.RECORD, None
        elif after is not None and sealed.read(after) != known:
            yield sealed.RECORD, {"value": after, "description": sealed.RECORD_TEXT}  # the last

    def _stale(self, there: Held | None, record: Held | None, known: Mapping[str, str], name: str, value: str) -> bool:
        """Whether a value has to be sealed."""
        if there is None or not there.sealed:
            self._change("sealed", name, _old(name, there), SEALED)
        elif record is not None and sealed.touched(there.updated_at, record.updated_at):
            self._change("sealed", name, f"(changed on Railway at {there.updated_at})", SEALED)
        elif not sealed.knows(known, name, value):
            self._change("sealed", name, SEALED, SEALED)
        else:
            return False
        return True

    def _kept(self, name: str, source: str, there: Held | None, record: Held | None) -> None:
        """A sealed variable whose value was not given."""
        give = f"set {SEALED_PREFIX}{name} in the environment of this command"
        if there is None:
            raise PlanError(
                f"{name} of service {self.service.name} is not on Railway yet, and no value was given ({source}): "
                f"{give}"
            )
        if not there.sealed:
            self.notes.append(f"{self.service.name}.{name} is in plain sight on Railway; to seal it, {give}")
        elif record is not None and sealed.touched(there.updated_at, record.updated_at):
            self.notes.append(
                f"{self.service.name}.{name} was changed on Railway at {there.updated_at}; to put yours back, {give}"
            )

    def _settings(self) -> None:
        for block, owned in SETTINGS.get(self.service.name, _OTHER).items():
            wanted: Mapping[str, Any] = getattr(self.service, block)
            there = self.config.get(block) or {}
            changed = {name: value for name, value in wanted.items() if not _covers(there.get(name), value)}
            changed |= {n: None for n in sorted(owned) if n not in wanted and there.get(n) is not None}
            # A patch is merged: a region that it does not name would go on running replicas.
            if isinstance(regions := wanted.get(_REGIONS), Mapping):
                gone = [name for name, value in (there.get(_REGIONS) or {}).items() if name not in regions and value]
                if gone:
                    changed[_REGIONS] = {**regions, **dict.fromkeys(gone)}
            for name, value in changed.items():
                old = there.get(name)
                shown = None if old is None else _shown(old)
                self._change("setting", f"{block}.{name}", shown, None if value is None else _shown(value))
            if changed:
                self.patch[block] = changed
            telling = (n for n, value in there.items() if n in TELLING and n not in wanted and value is not None)
            self.foreign += [f"{self.service.name}.{block}.{name}" for name in telling]

    def _change(
        self, kind: Literal["variable", "sealed", "setting"], name: str, old: str | None, new: str | None
    ) -> None:
        self.changes.append(Change(kind, self.service.name, name, old, new))


def _covers(there: object, wanted: object) -> bool:
    """Whether Railway has it, be it with more beside it: it adds to nested settings what it has decided itself."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(_covers(there.get(name), value) for name, value in wanted.items())
    return there == wanted


def _left_over(project: Project, held: Mapping[str, Held], instance: Instance) -> Iterator[Domain]:
    """The domain of the address that the stage had. Others, that people have added, stay."""
    address = held.get("PUBLIC_URL")
    before = urlsplit(address.value or "").hostname if address else None
    if before != project.host:
        yield from (domain for domain in instance.domains if domain.name == before)


def _domains(project: Project, instance: Instance, left: tuple[Domain, ...]) -> Iterator[Change]:
    api = project.services[0].name
    there = [domain.name for domain in instance.domains if domain not in left]
    if project.host is not None and project.host not in there:
        own = [domain.name for domain in instance.domains if not domain.custom]
        if project.host.endswith(RAILWAY_DOMAIN) and own:
            raise PlanError(
                f"Railway gave the service the domain {own[0]}: set public_url of the stage to https://{own[0]} "
                "in infra/product.py, then run this again"
            )
        yield Change("domain", api, project.host, None, "")
    yield from (Change("domain", api, domain.name, "", None) for domain in left)


def _old(name: str, there: Held | None) -> str | None:
    if there is None:
        return None
    if there.sealed:
        return SEALED
    return "(hidden)" if looks_secret(name, there.value or "") else _shown(there.value)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
