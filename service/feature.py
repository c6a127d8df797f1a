"""What a feature's folder may bring. Everything that the application has beyond its core is a feature of this form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import ERRORS, Error
from service.http.credentials import Scheme, Strategy
from service.http.gate import Router
from service.log import LOG_FIELDS
from service.naming import Names
from service.readiness import Check
from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What a feature is started with.

    Attributes:
        settings: The environment, checked.
        names: What is named after the product.
        aws: Clients of AWS.
        secrets: Secrets that this process may read.
        engine: The pool of database connections; a tenant's work goes through ``TenantSession`` instead.
    """

    settings: Settings
    names: Names
    aws: Aws
    secrets: Secrets
    engine: AsyncEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a feature brings while it runs.

    Attributes:
        parts: Objects that its routes ask for by type: ``Annotated[Index, Depends(part(Index))]``.
        checks: What readiness tells, by name.
        strategies: Ways to tell who calls; each of a scheme that the feature declares.
        ages: Of the keys that it relies on, by provider: seconds since they were fetched, None before the first time.
    """

    parts: tuple[object, ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    strategies: tuple[Strategy, ...] = ()
    ages: Mapping[str, Callable[[], float | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a folder brings.

    Attributes:
        name: Lower case; the group of its settings, and the label of its line of migrations.
        routers: Its routes.
        errors: Rows of the registry that only it uses.
        settings: Fields of its variables: ``NOTES__LIMIT`` is the field ``limit`` of the feature ``notes``.
        migrations: Folder with its own line of Alembic versions.
        log_fields: Names that ``service.log.bind`` takes besides the core's.
        schemes: Kinds of credentials that its strategies read.
        start: Opens what it needs, for as long as the application runs.
    """

    name: str
    routers: tuple[Router, ...] = ()
    errors: tuple[Error, ...] = ()
    settings: type[BaseModel] | None = None
    migrations: Path | None = None
    log_fields: frozenset[str] = frozenset()
    schemes: tuple[Scheme, ...] = ()
    start: Callable[[Core], AbstractAsyncContextManager[Started]] | None = None


def checked(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Features that do not get into one another's way.

    Args:
        features: In the order of the product's list.

    Raises:
        RuntimeError: A name, an error code, a log field or a scheme exists twice; the text names both places.
    """
    listed = tuple(features)
    taken: dict[tuple[str, str], str] = {("error code", code): "the core (service/errors.py)" for code in ERRORS}
    taken |= {("log field", name): "the core (service/log.py)" for name in LOG_FIELDS}
    for feature in listed:
        for kind, name in (
            ("feature name", feature.name),
            *(("error code", row.code) for row in feature.errors),
            *(("log field", name) for name in feature.log_fields),
            *(("scheme", scheme.name) for scheme in feature.schemes),
        ):
            place = f"feature {feature.name}"
            if (kind, name) in taken:
                raise RuntimeError(
                    f"The {kind} {name} exists twice, in {taken[kind, name]} and in {place}: give one another name"
                )
            taken[kind, name] = place
    return listed


def together(started: Iterable[tuple[Feature, Started]], checks: Mapping[str, Check]) -> Started:
    """What all features bring while they run, as one.

    Args:
        started: Each feature with what it brings.
        checks: The core's own, by name.

    Raises:
        RuntimeError: A readiness check or a part exists twice, and one would hide the other; or a strategy reads a
            scheme that its feature does not declare, so that OpenAPI would not show it.
    """
    all_checks, parts, strategies = dict(checks), dict[type, object](), list[Strategy]()
    ages: dict[str, Callable[[], float | None]] = {}
    places: dict[object, str] = dict.fromkeys(checks, "the core (service/app.py)")
    for feature, brought in started:
        place = f"feature {feature.name}"
        for kind, key, name in (
            *(("readiness check", name, name) for name in brought.checks),
            *(("part of type", type(part), type(part).__qualname__) for part in brought.parts),
        ):
            if key in places:
                raise RuntimeError(f"The {kind} {name} exists twice, in {places[key]} and in {place}")
            places[key] = place
        for strategy in brought.strategies:
            if strategy.scheme not in feature.schemes:
                raise RuntimeError(
                    f"A strategy reads the scheme {strategy.scheme.name}, which {place} does not declare"
                )
        all_checks |= brought.checks
        parts |= {type(part): part for part in brought.parts}
        strategies += brought.strategies
        ages |= brought.ages
    return Started(parts=tuple(parts.values()), checks=all_checks, strategies=tuple(strategies), ages=ages)


def settings_of(features: Iterable[Feature]) -> dict[str, type[BaseModel]]:
    """The settings that features bring, by the feature's name: for ``service.settings.load``."""
    return {feature.name: feature.settings for feature in features if feature.settings}


def all_errors(features: Iterable[Feature]) -> Mapping[str, Error]:
    """Every row of the registry by code, the core's first.

    Args:
        features: Checked.
    """
    return {**ERRORS, **{row.code: row for feature in features for row in feature.errors}}
