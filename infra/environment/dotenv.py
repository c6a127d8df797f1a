"""An environment as text for a file: dotenv lines, or the JSON object that Railway's raw editor takes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from infra.environment.build import Environment


def dotenv(environment: Environment) -> str:
    """As a dotenv file: values quoted, so that no character of them means anything. Sealed ones are named only."""
    lines = []
    for variable in environment:
        if variable.value is None or variable.sealed:
            lines.append(f"# {variable.name}: {'sealed' if variable.sealed else variable.source}\n")
        else:
            lines.append(dotenv_lines({variable.name: variable.value}))
    return "".join(lines)


def dotenv_lines(values: Mapping[str, str]) -> str:
    """Values as lines of a dotenv file, the same for sh, Node and python-dotenv.

    Args:
        values: By name; what these would not agree about was refused when the environment was built.
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def read(file: Path) -> dict[str, str]:
    """The variables of a dotenv file, whoever wrote it.

    Args:
        file: As ``dotenv`` writes it, a person, or another program: quoted or not.
    """
    return {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}


def flat_json(environment: Environment) -> str:
    """As the JSON object that Railway's raw editor takes."""
    return indented({v.name: v.value for v in environment if v.value is not None and not v.sealed})


def indented(value: object) -> str:
    """As JSON for a file that people read, too."""
    return json.dumps(value, indent=2) + "\n"
