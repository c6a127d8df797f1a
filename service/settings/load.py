"""The environment, read and validated together: the one place where the service looks at it.

A wrong value is refused at start, all problems in one message; values themselves are never repeated, because some of
them are secret. The variables are in ``service.settings.fields``, what must not run in ``service.settings.refusals``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from service.settings.fields import (
    PROVIDER_LIMIT,
    Groups,
    OpenIdKind,
    OpenIdSettings,
    SamlSettings,
    Settings,
    checked,
    variables_of,
)
from service.settings.formats import FormatError
from service.settings.refusals import unsafe
from service.settings.secret import Secret, by_value

# A variable of a provider's group, with the group's name and the field's.
PROVIDER_VARIABLE: Final = re.compile(r"IDP__([A-Z0-9]+(?:_[A-Z0-9]+)*)__([A-Z_]+)\Z")
_OWN = tuple(variable.name for variable in variables_of("", Settings, but=("idp", "groups")))
_KINDS = (*get_args(OpenIdKind), "saml")
# Of what pydantic says by itself, what is made from the rule alone. Other texts may quote the value, or a part of it.
_ABOUT_THE_RULE = re.compile(
    r"(?:int|float|bool|decimal)_parsing|(?:greater|less)_than(?:_equal)?|multiple_of|enum"
    r"|(?:string_)?too_(?:short|long)|string_pattern_mismatch"
)

T = TypeVar("T", bound=BaseModel)


class SettingsError(Exception):
    """The environment is not fit to start from; the text lists every problem."""


def load(environ: Mapping[str, str], groups: Groups = {}) -> Settings:  # noqa: B006  never written to
    """Read and check the environment.

    An empty variable counts as not set: that is how platforms hand over what was left blank.

    Args:
        environ: Usually ``os.environ``. Variables of others are ignored.
        groups: Settings of features by the feature's name: a field ``key`` of ``notes`` is ``NOTES__KEY``.

    Raises:
        SettingsError: One message with all problems, none of which repeats a value.
        TypeError: A group's name, or a field of it, is not fit to be a variable.
    """
    given = {name: value for name, value in environ.items() if value}
    names = dict.fromkeys(match[1] for match in map(PROVIDER_VARIABLE.match, given) if match)
    idp = {name.lower(): _provider(f"IDP__{name}__", given) for name in names}
    features = {name: _Part(f"{name.upper()}__", model, given) for name, model in checked(groups).items()}
    core = _Part("", Settings, {name: given[name] for name in _OWN if name in given})
    core.raw["idp"] = {name: found for name, part in idp.items() if (found := part.check()) is not None}
    core.raw["groups"] = {name: group for name, part in features.items() if (group := part.check()) is not None}
    settings = core.check()
    assert settings is not None  # the examples of our own fields pass
    problems = [line for part in (core, *idp.values(), *features.values()) for line in part.problems]
    problems += [p for p in unsafe(settings) if not any(q.startswith(p.split(" ", 1)[0] + " ") for q in problems)]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(
            f"The environment is not fit to start from:\n{listed}\nSee .env.example for every variable."
        )
    return settings


class _Part(Generic[T]):
    """One group of variables, validated by itself.

    Args:
        prefix: What their names begin with.
        model: The fields.
        given: Variables with their values; those of other prefixes are ignored.
    """

    def __init__(self, prefix: str, model: type[T], given: Mapping[str, str]) -> None:
        self._prefix, self._model = prefix, model
        name = re.compile(re.escape(prefix) + r"([A-Z0-9_]+)\Z")
        self.raw: dict[str, Any] = {match[1].lower(): given[match[0]] for match in map(name.match, given) if match}
        for key, field in model.model_fields.items():
            if by_value(field) and {key, f"{key}_id"} & self.raw.keys():
                named, value = self.raw.pop(f"{key}_id", ""), self.raw.pop(key, None)
                self.raw[key] = Secret(named, SecretStr(value) if value else None)
        self.problems: list[str] = []

    def check(self) -> T | None:
        """The group; with what is wrong in it replaced by examples, so that the rules across groups still judge the
        rest. None where that does not help."""
        for key in sorted(self.raw.keys() - self._model.model_fields.keys()):
            self.problems += _stranger(f"{self._prefix}{key}".upper(), self._prefix, self._model, self.raw.get("kind"))
            del self.raw[key]
        try:
            return self._model.model_validate(self.raw)
        except ValidationError as failure:
            errors = failure.errors(include_input=False, include_url=False)
        self.problems += dict.fromkeys(map(self._explain, errors))
        examples = {key: _example(field) for key, field in self._model.model_fields.items()}
        wrong = {str(error["loc"][0]) if error["loc"] else "" for error in errors}
        try:
            return self._model.model_validate({**self.raw, **{key: examples[key] for key in wrong if key}})
        except ValidationError:
            return None

    def _explain(self, error: Any) -> str:
        key = str(error["loc"][0]) if error["loc"] else ""
        if (field := self._model.model_fields.get(key)) is None:  # a rule of the whole group
            return f"{self._prefix}... {_rule(error)}"
        if key == "idp":
            return f"IDP__<NAME>__ISSUER is required, for at most {PROVIDER_LIMIT} providers (see also KIND)"
        name = f"{self._prefix}{key}".upper()
        told = by_value(field)
        if error["type"] == "missing":
            return f"{name}{'_ID' if told else ''} is required (example: {(field.examples or [''])[0]})"
        options = _KINDS if key == "kind" and self._model is OpenIdSettings else get_args(field.annotation)
        said = f"must be one of {', '.join(map(str, options))}" if error["type"] == "literal_error" else _rule(error)
        return f"{name} {said} (example: {told.example if told else (field.examples or [''])[0]})"


def _provider(prefix: str, given: Mapping[str, str]) -> _Part[OpenIdSettings] | _Part[SamlSettings]:
    if given.get(f"{prefix}KIND") == "saml":
        return _Part(prefix, SamlSettings, given)
    return _Part(prefix, OpenIdSettings, given)


def _stranger(name: str, prefix: str, model: type[BaseModel], kind: object) -> Iterator[str]:
    """Why a variable is not one of its group: it is the other protocol's, or nobody's."""
    for mine, other, whose in ((SamlSettings, OpenIdSettings, "OpenID"), (OpenIdSettings, SamlSettings, "saml")):
        if model is mine and name in (variable.name for variable in variables_of(prefix, other)):
            if kind in _KINDS:  # what else it is, is reported already, and might be the one mistake
                yield f"{name} is for {whose} providers; kind is {kind}: unset it"
            return
    yield f"{name} is not a variable of this service"


def _rule(error: Any) -> str:
    """What a value breaks, in words that cannot hold a part of it."""
    if isinstance(told := error.get("ctx", {}).get("error"), FormatError):
        return str(told)
    return str(error["msg"]) if _ABOUT_THE_RULE.fullmatch(error["type"]) else "is not well-formed"


def _example(field: FieldInfo) -> Any:
    example = (field.examples or [None])[0]
    return Secret(str(example)) if by_value(field) else example
