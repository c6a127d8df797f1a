"""A secret: named by its id in Secrets Manager, or, outside production, held by the environment itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Secret:
    """The type of a setting that is a secret; a field ``key`` of it reads the variables ``KEY_ID`` and ``KEY``.

    Attributes:
        id: Name or ARN in Secrets Manager.
        value: The secret itself; ``service.settings.refusals`` keeps it out of production, and out of company.
    """

    id: str = ""
    value: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class ByValue:
    """What documents say of the variable that holds the secret itself, where the usual words do not do.

    Attributes:
        description: What it means.
        example: A value that passes.
    """

    description: str = "That secret itself; outside production only."
    example: str = "an-example-of-a-secret"


def by_value(field: FieldInfo) -> ByValue | None:
    """How a field's secret is given by value; None for a field that is no secret.

    Args:
        field: Of the settings.
    """
    if field.annotation is not Secret and Secret not in get_args(field.annotation):
        return None
    return next((told for told in field.metadata if isinstance(told, ByValue)), ByValue())


def secrets_in(prefix: str, group: BaseModel) -> Iterator[tuple[str, Secret]]:
    """The secrets that are set, each with the variable that would hold it by value.

    Args:
        prefix: What the names of the group's variables begin with.
        group: Settings.
    """
    for name in type(group).model_fields:
        if isinstance(secret := getattr(group, name), Secret):
            yield f"{prefix}{name}".upper(), secret
