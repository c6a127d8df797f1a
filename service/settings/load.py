"""The environment, read and validated together: the one place where the service looks at it.

A wrong value is refused at start, all problems in one message; values themselves are never repeated, because some of
them are secret. The variables are in ``service.settings.fields``, what must not run in ``service.settings.refusals``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from service.settings.fields import GIVEN, ProviderSettings, Settings, Variable, variables
from service.settings.refusals import unsafe

__all__ = ["ProviderSettings", "Settings", "SettingsError", "Variable", "load", "variables"]

_IDP_VARIABLE = re.compile(r"IDP__([A-Z0-9]+(?:_[A-Z0-9]+)*)__([A-Z_]+)\Z")


class SettingsError(Exception):
    """The environment is not fit to start from; the text lists every problem."""


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check the environment.

    An empty variable counts as not set: that is how platforms hand over what was left blank.

    Args:
        environ: Usually ``os.environ``. Variables of others are ignored.

    Raises:
        SettingsError: One message with all problems, none of which repeats a value.
    """
    raw: dict[str, Any] = {
        name: environ[name.upper()] for name in Settings.model_fields if name != "idp" and environ.get(name.upper())
    }
    raw["idp"] = {}
    for variable, value in environ.items():
        if value and (match := _IDP_VARIABLE.match(variable)):
            raw["idp"].setdefault(match[1].lower(), {})[match[2].lower()] = value
    _name_given_secrets(raw)
    problems: list[str] = []
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as failure:
        problems = [_explain(error) for error in failure.errors(include_input=False, include_url=False)]
        settings = _mended(raw, failure)
    unreported = (p for p in unsafe(settings) if not any(q.startswith(p.split(" ", 1)[0] + " ") for q in problems))
    problems += unreported
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(
            f"The environment is not fit to start from:\n{listed}\nSee .env.example for every variable."
        )
    return settings


def _name_given_secrets(raw: dict[str, Any]) -> None:
    """Give a secret that came by value an id, so that everything that reads secrets knows ids alone.

    An id that is there too wins: ``refusals.unsafe`` reports the pair.
    """
    for prefix, group, names in (
        ("", raw, ("database_secret", "database_migration_secret", "session_secret")),
        *((f"IDP__{name}__", group, ("client_secret", "sp_secret")) for name, group in raw["idp"].items()),
    ):
        for name in names:
            if name in group:
                group.setdefault(f"{name}_id", GIVEN + f"{prefix}{name}".upper())


def _name(location: tuple[int | str, ...]) -> tuple[str, FieldInfo | None]:
    if location[0] != "idp":
        return str(location[0]).upper(), Settings.model_fields.get(str(location[0]))
    if len(location) < 3:
        return "IDP__<NAME>__ISSUER", ProviderSettings.model_fields["issuer"]
    return f"IDP__{location[1]}__{location[2]}".upper(), ProviderSettings.model_fields.get(str(location[2]))


def _explain(error: Any) -> str:
    name, field = _name(error["loc"])
    if field is None:
        return f"{name} is not a variable of this service"
    example = f" (example: {(field.examples or [''])[0]})"
    if error["type"] == "missing" or error["loc"] == ("idp",):
        return f"{name} is required{example}"
    options = get_args(field.annotation)
    if error["type"] == "literal_error" and options:
        return f"{name} must be one of {', '.join(map(str, options))}{example}"
    return f"{name} {error['msg'].removeprefix('Value error, ')}{example}"


def _mended(raw: dict[str, Any], failure: ValidationError) -> Settings:
    """The settings with each bad value replaced by its example, so that the rules below still judge the good ones."""
    mended: dict[str, Any] = {**raw, "idp": {name: dict(group) for name, group in raw["idp"].items()}}
    for error in failure.errors(include_input=False, include_url=False):
        location, (_, field) = error["loc"], _name(error["loc"])
        if location[0] != "idp":
            mended[str(location[0])] = (field.examples or [None])[0] if field else None
        elif len(location) > 2 and field is None:
            mended["idp"][location[1]].pop(location[2])
        elif len(location) > 2 and field is not None:
            mended["idp"][location[1]][location[2]] = (field.examples or [None])[0]
        else:
            mended["idp"] = (Settings.model_fields["idp"].examples or [{}])[0]
    return Settings.model_validate(mended)
