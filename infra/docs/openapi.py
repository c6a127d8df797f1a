"""The OpenAPI document of the product, made without a deployment, and the one of its last release."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from infra.docs.compatible import breaks
from infra.shell.failure import Failure
from infra.shell.paths import ROOT
from service import settings
from service.feature import settings_of
from service.naming import Names
from service.product import FEATURES, NAME, TITLE

CURRENT: Final = "docs/reference/openapi.json"
RELEASED: Final = "docs/reference/openapi-released.json"
_OF_PRODUCTION: Final = ("ALLOWED_ORIGINS", "DATABASE_SECRET_ID", "SESSION_SECRET_ID")
_ORIGIN: Final = "https://api.example.org"  # stands for a stage's own address


def document(number: str | None = None) -> dict[str, Any]:
    """The document as the service would answer it.

    Args:
        number: The version that it names; None takes that of pyproject.toml.
    """
    from service.app import create_app

    groups = settings_of(FEATURES)
    known = {v.name: v for v in settings.variables(groups) if "<" not in v.name}
    needed = {name: v.example for name, v in known.items() if v.required or name in _OF_PRODUCTION}
    provider = {"KIND": "cognito", "ISSUER": "https://idp.example.org", "CLIENT_ID": "web"}
    environment = needed | {f"IDP__MAIN__{name}": value for name, value in provider.items()}
    loaded = settings.load(environment | {"ENVIRONMENT": "production", "PUBLIC_URL": _ORIGIN}, groups)
    made: dict[str, Any] = create_app(loaded, FEATURES, names=Names(NAME), title=TITLE).openapi()
    made["info"]["version"] = number or version(ROOT)
    return made


def page() -> str:
    """docs/reference/openapi.json."""
    return json.dumps(document(), indent=1) + "\n"


def version(root: Path) -> str:
    """The product's version.

    Args:
        root: The checkout.
    """
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def released(root: Path) -> Mapping[str, Any]:
    """The document of the last release.

    Args:
        root: The checkout.

    Raises:
        Failure: The file is missing or is no document.
    """
    try:
        found: Mapping[str, Any] = json.loads((root / RELEASED).read_text(encoding="utf-8"))
        return {"paths": found["paths"], **found}
    except (OSError, ValueError, KeyError, TypeError):
        raise Failure(
            f"{RELEASED} is not an OpenAPI document. Take it from the last release: "
            f"git checkout v{version(root)} -- {RELEASED}"
        ) from None


def broken(root: Path, new: Mapping[str, Any] | None = None) -> Iterator[str]:
    """What a client of the last release would trip over, a sentence each; nothing where the version says so.

    Args:
        root: The checkout.
        new: The document that it meets; None makes it.
    """
    old, new = released(root), new or document()
    if _breaking(new["info"]["version"]) <= _breaking(old["info"]["version"]):
        yield from breaks(old, new)


def _breaking(text: str) -> tuple[int, ...]:
    """The part of a version that is raised when clients break: the first number that is not 0, and those before it."""
    numbers = [int(part) if part.isdigit() else 0 for part in text.split(".")]
    return tuple(numbers[: 1 if numbers[0] else 2])
