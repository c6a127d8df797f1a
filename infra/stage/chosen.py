"""A stage by its name, with what a command changes about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from infra.product import STAGES
from infra.stage.record import ConfigurationError, Stage
from infra.stage.told import told


def stage(name: str, **overrides: Any) -> Stage:
    """A stage by name.

    Args:
        name: One of ``STAGES``.
        overrides: Fields to replace, checked like the record itself; ``database``,
            ``network`` and ``watch`` take the fields to replace in them.

    Raises:
        ConfigurationError: No such stage, or the overrides make one that must not exist.
    """
    known = STAGES.get(name)
    if known is None:
        raise ConfigurationError(f"unknown stage {name!r}: choose one of {', '.join(STAGES)} (cdk ... -c stage=<name>)")
    values = known.model_dump() | overrides
    for name_of_part in ("database", "network", "watch"):
        if isinstance(part := overrides.get(name_of_part), Mapping):
            values[name_of_part] = getattr(known, name_of_part).model_dump() | dict(part)
    try:
        return Stage.model_validate(values)
    except ValidationError as failure:
        raise ConfigurationError(f"stage {name}: {told(failure)}") from None
