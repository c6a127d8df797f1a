"""No secret in plain sight: what looks like one, or repeats one, stops the rendering."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.shell.failure import Failure
from infra.stage.text import filled_in, misread

# Names that hold a secret itself; `..._SECRET_ID` and `..._SECRET_ARN` only name one.
_SECRET_NAME = re.compile(r"(?:SECRET|PASSWORD|PRIVATE_KEY|TOKEN|AUTH_?KEY)\Z")
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\btskey-|\beyJ[\w-]+\.eyJ[\w-]+\."
)
_SHORTEST = 8  # characters of a sealed value below which a repetition means nothing


class Held(Protocol):
    """What the guard looks at."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str | None: ...
    @property
    def secret(self) -> SecretStr | None: ...


def refuse_printed_secrets(variables: Iterable[Held], failure: type[Failure]) -> None:
    """Look for secrets among the plain values.

    Args:
        variables: Those that are about to be rendered.
        failure: What to raise; its text names the variable and never the value.
    """
    held = list(variables)
    sealed = {v.name: v.secret.get_secret_value() for v in held if v.secret is not None}
    for variable in held:
        text = variable.value
        if text is None or "${{" in text:  # Railway fills it in; this side never has the value
            continue
        named = _SECRET_NAME.search(variable.name) and text != "test"  # the local AWS takes any pair
        if named or _SECRET_VALUE.search(text) or _password(text):
            raise failure(f"{variable.name} would print a secret: seal it, or name a Secrets Manager entry instead")
        for name, secret in sealed.items():
            if len(secret) >= _SHORTEST and secret in text:
                raise failure(f"{variable.name} would print the sealed value of {name}: take it from another source")


def refuse_misread(variables: Iterable[Held], failure: type[Failure]) -> None:
    """Look for values that would not arrive as they are.

    Args:
        variables: Those that are about to be rendered; references that Railway fills in are not among them.
        failure: What to raise; its text names the variable and never the value.
    """
    for variable in variables:
        why = misread(variable.value) if variable.value is not None else None
        if variable.secret is not None:
            why = filled_in(variable.secret.get_secret_value())
        if why:
            raise failure(f"{variable.name} {why}: give it another value")


def looks_secret(name: str, value: str) -> bool:
    """Whether a value that somebody else has set is better not shown.

    Args:
        name: Of the variable.
        value: Its text.
    """
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value) or _password(value))


def _password(text: str) -> bool:
    try:
        return "://" in text and bool(urlsplit(text).password)
    except ValueError:
        return False
