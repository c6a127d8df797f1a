"""The environment, read and validated together: the one place where the service looks at it.

A wrong value is refused at start, all problems in one message; values themselves are never repeated, because some of
them are secret. The variables are in ``service.settings.fields``, what must not run in ``service.settings.refusals``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, get_args

from annotated_types import MaxLen
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from service.settings.fields import Settings
from service.settings.formats import FormatError
from service.settings.groups import NAME, Groups, checked, named, prefix_of, several, variables_of
from service.settings.refusals import unsafe
from service.settings.secret import Secret, by_value

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
    features = {name: _Part(prefix_of(name, model), (model,), given) for name, model in checked(groups).items()}
    core = _Part("", (Settings,), given)
    core.raw["groups"] = {name: group for name, part in features.items() if (group := part.check()) is not None}
    settings = core.check()
    assert settings is not None  # the examples of our own fields pass
    problems = core.problems + [line for part in features.values() for line in part.problems]
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
        prefix: What their names begin with; "" for single variables, beside which all others are of no concern.
        models: The fields, by the kind that the group says it is; the first where it says none that there is.
        given: Variables with their values; those of other prefixes are ignored.
    """

    def __init__(self, prefix: str, models: tuple[type[T], ...], given: Mapping[str, str]) -> None:
        kind = given.get(f"{prefix}KIND", "")
        self._prefix, self._models = prefix, models
        self._model = next((model for model in models if kind in _kinds(model)), models[0])
        self.problems: list[str] = []
        self._named: dict[str, dict[str, _Part[BaseModel]]] = {}
        fields = self._model.model_fields
        name = re.compile(rf"{re.escape(prefix)}([A-Z0-9_]+)\Z")
        known = {*fields, *(f"{key}_id" for key, field in fields.items() if by_value(field))}
        found = {match[1].lower(): given[match[0]] for match in map(name.match, given) if match}
        self.raw: dict[str, Any] = {key: value for key, value in found.items() if prefix or key in known}
        for key, field in fields.items():
            if kinds := several(field):
                stem = f"{prefix}{key.upper()}"
                names = dict.fromkeys(match[1] for match in map(named(stem).match, given) if match)
                self._named[key] = {name.lower(): _Part(f"{stem}__{name}__", kinds, given) for name in names}
                self.raw = {name: value for name, value in self.raw.items() if not name.startswith(f"{key}__")}
            elif by_value(field) and {key, f"{key}_id"} & self.raw.keys():
                by_id, value = self.raw.pop(f"{key}_id", ""), self.raw.pop(key, None)
                self.raw[key] = Secret(by_id, SecretStr(value) if value else None)

    def check(self) -> T | None:
        """The group; with what is wrong in it replaced by examples, so that the rules across groups still judge the
        rest. None where that does not help."""
        for key, parts in self._named.items():
            self.raw[key] = {name: found for name, part in parts.items() if (found := part.check()) is not None}
            self.problems += [line for part in parts.values() for line in part.problems]
        for key in sorted(self.raw.keys() - self._model.model_fields.keys()):
            self.problems += self._stranger(f"{self._prefix}{key}".upper())
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
        name = f"{self._prefix}{key}".upper()
        if kinds := several(field):
            most = next((limit.max_length for limit in field.metadata if isinstance(limit, MaxLen)), "any number of")
            first, *others = (v.name for v in variables_of(f"{name}__{NAME}__", kinds[0]) if v.required)
            return f"{first} is required, for at most {most} names (see also {', '.join(others)})"
        told = by_value(field)
        if error["type"] == "missing":
            return f"{name}{'_ID' if told else ''} is required (example: {(field.examples or [''])[0]})"
        kinds_of_all = [kind for model in self._models for kind in _kinds(model)]
        options = kinds_of_all if key == "kind" and kinds_of_all else get_args(field.annotation)
        said = f"must be one of {', '.join(map(str, options))}" if error["type"] == "literal_error" else _rule(error)
        return f"{name} {said} (example: {told.example if told else (field.examples or [''])[0]})"

    def _stranger(self, name: str) -> Iterator[str]:
        """Why a variable is not one of this group: it is another kind's, or nobody's."""
        for other in self._models:
            if other is not self._model and name in (variable.name for variable in variables_of(self._prefix, other)):
                kind = self.raw.get("kind")
                if kind in _kinds(self._model):  # what else it is, is reported already, and might be the one mistake
                    yield f"{name} is for {other.model_config['title']}; kind is {kind}: unset it"
                return
        yield f"{name} is not a variable of this service"


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """What ``kind`` says of the groups that are of a model."""
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _rule(error: Any) -> str:
    """What a value breaks, in words that cannot hold a part of it."""
    if isinstance(told := error.get("ctx", {}).get("error"), FormatError):
        return str(told)
    return str(error["msg"]) if _ABOUT_THE_RULE.fullmatch(error["type"]) else "is not well-formed"


def _example(field: FieldInfo) -> Any:
    example = (field.examples or [None])[0]
    return Secret(str(example)) if by_value(field) else example
