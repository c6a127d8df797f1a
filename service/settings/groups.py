"""Groups of variables: what a feature's settings are made of, and how their names are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic.fields import FieldInfo

from service.settings.fields import Settings
from service.settings.secret import Secret, by_value, secrets_in

NAME: Final = "<NAME>"  # in a variable's name: stands for the name that an operator gives to one of several
_GROUP = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")
_NAMED = "([A-Z0-9]+(?:_[A-Z0-9]+)*)__([A-Z_]+)"


class Group(BaseModel):
    """Settings of a feature that has rules of its own, or variables that do not begin with its name.

    Any model will do otherwise. A field ``source: dict[str, One | Other]`` of either is a group for each name that an
    operator gives: ``NOTES__SOURCE__<NAME>__KEY``; which of the models it is, its field ``kind`` tells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    PREFIX: ClassVar[str | None] = None  # what the variables begin with; None is the feature's name

    def unsafe(self, settings: Settings) -> Iterator[str]:
        """Why these must not run although each is well-formed.

        Args:
            settings: The core's, and those of every feature.

        Yields:
            One line per problem, which begins with the variable's name.
        """
        return iter(())


Groups = Mapping[str, type[BaseModel]]  # by the name of the feature


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as documents and templates show it.

    Attributes:
        name: As in the environment; ``<NAME>`` stands for the name of each of several, as in ``IDP__<NAME>__KIND``.
        description: What it means.
        example: A value that passes.
        default: What holds when it is not set; None when there is no default.
        required: Whether the service refuses to start without it.
        secret: Whether it holds a secret itself.
    """

    name: str
    description: str
    example: str
    default: str | None
    required: bool
    secret: bool = False


def variables(groups: Groups = {}) -> Iterator[Variable]:  # noqa: B006  never written to
    """Every variable there is, in the order of the fields.

    Args:
        groups: Settings of features; a field ``key`` of the feature ``notes`` is the variable ``NOTES__KEY``.

    Raises:
        TypeError: A group has a name, or a field, that no variable can be made of.
    """
    yield from variables_of("", Settings)
    for name, model in checked(groups).items():
        yield from variables_of(prefix_of(name, model), model)


@cache  # a class does not change, and a deployment asks hundreds of times
def variables_of(prefix: str, model: type[BaseModel]) -> tuple[Variable, ...]:
    """The variables of one group.

    Args:
        prefix: What their names begin with.
        model: The group.
    """
    return tuple(_variables_of(prefix, model))


def _variables_of(prefix: str, model: type[BaseModel]) -> Iterator[Variable]:
    for name, field in model.model_fields.items():
        variable, example = f"{prefix}{name.upper()}", str((field.examples or [""])[0])
        if model is Settings and name == "groups":
            continue
        if kinds := several(field):
            seen: set[str] = set()
            for v in (v for kind in kinds for v in variables_of(f"{variable}__{NAME}__", kind)):
                if v.name not in seen:
                    yield v
                seen.add(v.name)
        elif told := by_value(field):
            yield Variable(f"{variable}_ID", field.description or "", example, None, field.is_required())
            yield Variable(variable, told.description, told.example, None, False, secret=True)
        else:
            needed, secret = field.is_required(), _hides(field.annotation)
            yield Variable(variable, field.description or "", example, _default(field), needed, secret)


def several(field: FieldInfo) -> tuple[type[BaseModel], ...]:
    """What each of a field's groups may be, where the field holds one for each name that is given; else nothing.

    Args:
        field: Of a group.
    """
    if get_origin(field.annotation) is not dict:
        return ()
    value = get_args(field.annotation)[1]
    kinds = get_args(value) or (value,)
    return kinds if all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds) else ()


def named(stem: str) -> re.Pattern[str]:
    """Variables of groups that an operator names, with that name and the field's.

    Args:
        stem: What they begin with: ``IDP``.
    """
    return re.compile(rf"{re.escape(stem)}__{_NAMED}\Z")


def described(name: str, known: Mapping[str, Variable]) -> Variable | None:
    """The variable of a name, be it of a group that an operator named; None for a name that is not read.

    Args:
        name: As in an environment.
        known: Every variable by its name in documents.
    """
    stems = {variable.partition(f"__{NAME}__")[0] for variable in known if NAME in variable}
    shown = (match.expand(rf"{stem}__{NAME}__\2") for stem in stems if (match := named(stem).match(name)))
    return known.get(next(shown, name))


def claimed(groups: Groups) -> re.Pattern[str]:
    """Names that are a group's, whether it has such a field or not: the service refuses to start with what it has not.

    Args:
        groups: Settings of features.
    """
    patterns = [pattern for name, model in groups.items() for pattern in _claimed(name, model)]
    return re.compile("|".join(patterns) or r"(?!)")


def _claimed(name: str, model: type[BaseModel]) -> Iterator[str]:
    if prefix := prefix_of(name, model):
        yield re.escape(prefix)
    for key, field in model.model_fields.items():
        if several(field):
            yield named(f"{prefix}{key.upper()}").pattern


def prefix_of(name: str, model: type[BaseModel]) -> str:
    """What the variables of a feature begin with.

    Args:
        name: The feature's.
        model: Its settings.
    """
    own = model.PREFIX if issubclass(model, Group) else None
    return f"{name.upper()}__" if own is None else own


def secrets(settings: Settings) -> Iterator[tuple[str, Secret]]:
    """Every secret that is set, the features' too, with the variable that names it by value.

    Args:
        settings: Checked or not.
    """
    yield from secrets_in("", settings)
    for name, group in settings.groups.items():
        prefix = prefix_of(name, type(group))
        yield from secrets_in(prefix, group)
        for key, field in type(group).model_fields.items():
            for each, one in getattr(group, key).items() if several(field) else ():
                yield from secrets_in(f"{prefix}{key}__{each}__", one)


def _hides(annotation: object) -> bool:
    """Whether values of a type are kept out of sight."""
    return annotation is SecretStr or any(map(_hides, get_args(annotation)))


def checked(groups: Groups) -> Groups:
    """Groups whose variables can be told apart, and explained to whoever sets them.

    Raises:
        TypeError: A name is taken or no name; a field lacks its description or its example, or is not in lower case.
    """
    taken = dict.fromkeys((v.name for v in variables_of("", Settings)), "the core")
    for group, model in groups.items():
        if not _GROUP.match(group):
            raise TypeError(f"{group!r} cannot be the name of a group of settings: lower case, digits, single _")
        for name, field in model.model_fields.items():
            if name != name.lower() or not field.description or not field.examples:
                raise TypeError(f"{model.__name__}.{name} needs a name in lower case, a description and an example")
        own = [v.name for v in variables_of(prefix_of(group, model), model)]
        others = claimed({name: other for name, other in groups.items() if name != group})
        if both := next((name for name in own if name in taken or others.match(name)), None):
            raise TypeError(f"{both} of the feature {group} is a variable of {taken.get(both, 'another feature')} too")
        taken |= dict.fromkeys(own, f"the feature {group}")
    return groups


def _default(field: FieldInfo) -> str | None:
    value: Any = None if field.is_required() else field.get_default(call_default_factory=False)
    return None if value in (None, (), "") else str(value)
