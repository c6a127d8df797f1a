"""The environment of the service, made from stack outputs: one table, one way, for a laptop and for production.

A row says, for each of the three kinds of deployment, where a variable's value comes from: a stage whose AWS side the
CDK made, a trial on Railway without any AWS account, and this machine. What comes out is checked with the service's own
settings before anyone sees it: an environment that the service would refuse is not rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from infra.environment.guard import refuse_printed_secrets
from infra.environment.table import PROVIDER, Inputs, Kind, Row, Source, rows
from infra.shell.failure import Failure
from infra.stage.record import Stage
from service import settings
from service.feature import settings_of
from service.product import FEATURES


class EnvironmentRefused(Failure):
    """The outputs do not make an environment the service accepts; the text says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a rendered environment.

    Attributes:
        name: Its name.
        description: What it means.
        source: Where its value comes from.
        required: Whether the service refuses to start without it.
        sealed: Whether Railway hides it.
        value: Plain text, in which Railway fills in ``${{...}}``; None when it is sealed, or still to be asked for.
        secret: Value of a sealed variable; None keeps the one that Railway has.
    """

    name: str
    description: str
    source: str
    required: bool
    sealed: bool = False
    value: str | None = None
    secret: SecretStr | None = None


Environment = tuple[Variable, ...]


def build(inputs: Inputs, groups: settings.Groups | None = None) -> Environment:
    """Make the environment of a stage.

    Args:
        inputs: Stage, outputs, what is given, and what differs locally.
        groups: Settings of features; None takes those of the product.

    Returns:
        The variables in the order of the table, without those that would be empty.

    Raises:
        EnvironmentRefused: An output is missing, a given variable is unknown, a secret would be plain, or the service
            would not start from it.
    """
    groups = settings_of(FEATURES) if groups is None else groups
    found = tuple(_resolved(inputs, "stage", groups))
    _refuse_unknown(inputs.given, rows(groups), "stage")
    refuse_printed_secrets(found, EnvironmentRefused)
    try:
        settings.load(
            {v.name: v.value or (v.secret and v.secret.get_secret_value()) or _stand_in(v) for v in found}, groups
        )
    except settings.SettingsError as failure:
        raise EnvironmentRefused(f"Stage {inputs.stage.name}: {failure}") from None
    return found


def build_trial(stage: Stage, groups: settings.Groups | None = None) -> Environment:
    """Make the environment of the one-click template: no AWS account; asks for issuer, client id and origins.

    Args:
        stage: Any record; the template draws nothing from it.
        groups: Settings of features; None takes those of the product.
    """
    return tuple(_resolved(Inputs(stage, {}), "trial", settings_of(FEATURES) if groups is None else groups))


def values(environment: Environment) -> dict[str, str]:
    """An environment as a process gets it.

    Args:
        environment: As ``build`` made it.

    Raises:
        EnvironmentRefused: A value is sealed, and Railway alone has it.
    """
    found = {}
    for variable in environment:
        value = variable.value if variable.secret is None else variable.secret.get_secret_value()
        if value is None:
            raise EnvironmentRefused(f"{variable.name} is sealed on Railway: a process here needs the value itself")
        found[variable.name] = value
    return found


def _resolved(inputs: Inputs, kind: Kind, groups: settings.Groups) -> Iterator[Variable]:
    known = {variable.name: variable for variable in settings.variables(groups)}
    for row in rows(groups):
        source = row.trial if kind == "trial" else (inputs.local and row.local) or row.stage
        name = row.name.replace("<NAME>", PROVIDER[kind])
        setting = known.get(row.name)
        description = row.description or (setting.description if setting else "")
        required = setting.required if setting else False
        if source.when is not None and not source.when(inputs.stage):
            continue
        if source.asked and name not in inputs.given:
            if row.sealed or kind == "trial":
                yield Variable(name, description, source.text, required or source.asked, row.sealed)
                continue
            raise EnvironmentRefused(f"{name} is not given ({source.text}): add --set {name}=...")
        value = inputs.given.get(name, "") if source.asked else _made(name, source, inputs)
        if not value:
            continue
        if row.sealed and kind == "stage" and inputs.local is None:
            yield Variable(name, description, source.text, required, True, secret=SecretStr(value))
        else:
            sealed = row.sealed and inputs.local is None  # a laptop has nobody to hide it from
            yield Variable(name, description, source.text, required, sealed, value)


def _made(name: str, source: Source, inputs: Inputs) -> str:
    if source.make is None:
        return ""
    try:
        return source.make(inputs)
    except KeyError as missing:
        raise EnvironmentRefused(
            f"{name} needs the stack output {missing.args[0]}, which is not there: "
            f"uv run signalbox stacks {inputs.stage.name}"
        ) from None


def _refuse_unknown(given: Mapping[str, str], rows: tuple[Row, ...], kind: Kind) -> None:
    askable = {row.name.replace("<NAME>", PROVIDER[kind]) for row in rows if row.stage.asked}
    if unknown := sorted(set(given) - askable):
        plain = askable - {row.name for row in rows if row.sealed}
        may = ", ".join(sorted(plain)) or "none but sealed ones"
        raise EnvironmentRefused(f"{unknown[0]} is not a variable that is asked for (those are: {may})")


def _stand_in(variable: Variable) -> str:
    """For a sealed value that Railway keeps: an example of its form, so that the rest can be checked."""
    return next((v.example for v in settings.variables() if v.name == variable.name), "")
