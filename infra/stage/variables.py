"""What a stage says of the service's environment beside what follows from its record: checked where it is written.

Further providers, the log level, the pool, settings of features: each by the name that the service reads. The service's
own settings judge the values, with examples in place of what the stacks will tell.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

from infra.stage.text import misread
from service import product, settings
from service.feature import settings_of

# Before a sealed variable's name where its value is given to a command. Without it the AWS key of whoever deploys,
# which has the same name, would be sealed as the service's own.
SEALED_PREFIX: Final = "SIGNALBOX_SEALED_"
# Enough for every rule of the service to pass, in production too; the rest of a stage's environment has no say here.
_EXAMPLES: Final = (
    *("DATABASE_URL", "DATABASE_SECRET_ID", "SESSION_SECRET_ID", "AWS_REGION", "TOKEN_SIGNING_KEY_ID"),
    *("IDP__<NAME>__KIND", "IDP__<NAME>__ISSUER", "IDP__<NAME>__CLIENT_ID"),
)
COGNITO: Final = "COGNITO"  # the provider that the stacks make


class Seal(Enum):
    """In place of a value: Railway is to hide it, and it is in no file."""

    SEALED = "sealed"


SEALED: Final = Seal.SEALED


def groups() -> settings.Groups:
    """Settings of the product's features."""
    return settings_of(product.FEATURES)


def problems(
    chosen: Mapping[str, str | Seal], *, stage: str, given: Mapping[str, str], readable: frozenset[str]
) -> Iterator[str]:
    """What is wrong with what a stage says; no text repeats a value.

    Args:
        chosen: By variable.
        stage: Name of the stage.
        given: What follows from the stage's record: ``ENVIRONMENT`` and addresses.
        readable: Ids of the secrets that the service may read by a name of the stage's own.
    """
    known = {variable.name: variable for variable in settings.variables(groups())}
    values = {name.replace("<NAME>", COGNITO): known[name].example for name in _EXAMPLES} | dict(given)
    for name, value in chosen.items():
        variable = settings.described(name, known)
        if variable is None:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"variables: {name} is not a variable of this service{f' ({near[0]}?)' if near else ''}"
        elif value is SEALED and (stage == "local" or not variable.secret):
            why = "stage local seals nothing" if stage == "local" else "it holds no secret"
            yield f"variables: {name} must not be SEALED: {why}; write its value"
        elif value is not SEALED and variable.secret and stage != "local":
            yield (
                f"variables: {name} holds a secret, and this file is in git: write SEALED in its place, "
                f"and give the value to the command as {SEALED_PREFIX}{name}"
            )
        elif not value:
            yield f"variables: {name} is empty: leave it out"
        elif isinstance(value, str) and (problem := misread(value)):
            yield f"variables: {name} {problem}"
        elif stage != "local" and _names_a_secret(variable, known) and not _readable(value, readable):
            yield (
                f"variables: {name} names a secret that the service may not read: the name begins with the "
                "stage's prefix and a slash, and what follows is in provider_secrets"
            )
        values[name] = variable.example if variable and value is SEALED else str(value)
    try:
        settings.load(values, groups())
    except settings.SettingsError as failure:
        for line in str(failure).splitlines()[1:-1]:
            yield f"variables: {line.strip()}"


def _readable(value: str | Seal, readable: frozenset[str]) -> bool:
    return isinstance(value, Seal) or value.startswith("arn:") or value in readable


def _names_a_secret(variable: settings.Variable, known: Mapping[str, settings.Variable]) -> bool:
    by_value = known.get(variable.name.removesuffix("_ID"), variable)
    return by_value is not variable and by_value.secret
