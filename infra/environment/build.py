"""The environment of the service, made from stack outputs: one table, one way, for a laptop and for production.

A row says, for each of the three kinds of deployment, where a variable's value comes from: a stage whose AWS side the
CDK made, a trial on Railway without any AWS account, and this machine. What comes out is checked with the service's own
settings before anyone sees it: an environment that the service would refuse is not rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from infra.environment.guard import refuse_misread, refuse_printed_secrets
from infra.environment.table import PROVIDER, UNSET, Inputs, Kind, Source, rows
from infra.shell.failure import Failure
from infra.stage.record import Stage
from infra.stage.variables import SEALED, SEALED_PREFIX
from infra.stage.variables import groups as features
from service import settings


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
_RECORD: Final = "stage record"


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
    groups = features() if groups is None else groups
    _refuse_unknown(inputs, groups)
    made, said = tuple(_resolved(inputs, "stage", groups)), tuple(_chosen(inputs, groups))
    found = (*made, *said)
    # What stage local says stays on this machine, where a secret has nobody to be hidden from.
    refuse_printed_secrets(found if inputs.local is None else made, EnvironmentRefused)
    refuse_misread(found, EnvironmentRefused)
    judge(inputs.stage.name, found, groups=groups)
    return found


def judge(
    stage: str,
    environment: Environment,
    beside: Mapping[str, str] = {},
    *,
    groups: settings.Groups | None = None,
) -> None:
    """Have the service's own settings judge an environment.

    Args:
        stage: Name of the stage.
        environment: What is rendered; examples stand for sealed values that Railway keeps.
        beside: What else the service would see.
        groups: Settings of features; None takes those of the product.

    Raises:
        EnvironmentRefused: The service would not start from it.
    """
    groups = features() if groups is None else groups
    try:
        settings.load({**beside, **{v.name: _text(v, groups) for v in environment}}, groups)
    except settings.SettingsError as failure:
        raise EnvironmentRefused(f"Stage {stage}: {failure}") from None


def build_trial(stage: Stage, groups: settings.Groups | None = None) -> Environment:
    """Make the environment of the one-click template: no AWS account; asks for issuer, client id and origins.

    Args:
        stage: Any record; the template draws nothing from it.
        groups: Settings of features; None takes those of the product.
    """
    return tuple(_resolved(Inputs(stage, {}), "trial", features() if groups is None else groups))


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
        if source.asked and name not in inputs.given:  # Railway has it, or its user is asked
            yield Variable(name, description, source.text, not source.optional, row.sealed)
            continue
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


def _chosen(inputs: Inputs, groups: settings.Groups) -> Iterator[Variable]:
    """What the stage says itself."""
    known = {variable.name: variable for variable in settings.variables(groups)}
    for name, value in inputs.stage.variables.items():
        told = settings.described(name, known)
        about, required = (told.description, told.required) if told else ("", False)
        if value is not SEALED:
            yield Variable(name, about, _RECORD, required, value=str(value))
            continue
        given = inputs.given.get(name)
        secret = SecretStr(given) if given else None
        yield Variable(name, about, f"{_RECORD}; its value is given", required, True, secret=secret)


def _refuse_unknown(inputs: Inputs, groups: settings.Groups) -> None:
    """What is given and not asked for, and what the stage says although it follows from something else."""
    named = {row.name.replace("<NAME>", PROVIDER["stage"]): row for row in rows(groups)}
    made = {name: (inputs.local and row.local) or row.stage for name, row in named.items()}
    for name in inputs.stage.variables:
        if made.get(name, UNSET) is not UNSET:
            raise EnvironmentRefused(
                f"Stage {inputs.stage.name}: {name} is made from something else ({made[name].text}): "
                "take it out of variables"
            )
    askable = {name for name, row in named.items() if row.stage.asked}
    askable |= {name for name, value in inputs.stage.variables.items() if value is SEALED}
    if unknown := sorted(set(inputs.given) - askable):
        may = ", ".join(sorted(askable)) or "none"
        raise EnvironmentRefused(
            f"{SEALED_PREFIX}{unknown[0]} is given, and stage {inputs.stage.name} seals no {unknown[0]} (it seals: "
            f"{may}): unset it, or say SEALED in the variables of the stage"
        )


def _text(variable: Variable, groups: settings.Groups) -> str:
    """The value, or an example of its form for a sealed one that Railway keeps, so that the rest can be checked."""
    if variable.secret is not None:
        return variable.secret.get_secret_value()
    if variable.value is not None:
        return variable.value
    told = settings.described(variable.name, {v.name: v for v in settings.variables(groups)})
    return told.example if told else ""
