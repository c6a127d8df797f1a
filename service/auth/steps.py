"""A step of ``signalbox auth check``: what is compared with what, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from service.auth.providers.fetch import FetchError
from service.errors import ApiError

_REMEDY = "Compare the provider's settings with docs/AUTH_CONFIGURATION.md."


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was passed.

    Attributes:
        name: One word.
        compared: What is compared with what.
        mark: ``ok``; ``--`` does not apply; ``!!`` fits today, and will not for long.
    """

    name: str
    compared: str
    mark: Literal["ok", "--", "!!"] = "ok"


class CheckError(Exception):
    """A step failed; the text names it, the error code or the reason, the rule, and what to do."""


@contextmanager
def failing(name: str, compared: str, told: Callable[[], str] = str) -> Iterator[None]:
    """Tell a refusal of the service's own code as the failure of a step.

    Args:
        name: Of the step.
        compared: What is compared with what.
        told: What is wrong and what to do, where the block knows more than its code says; "" where it does not.

    Raises:
        CheckError: The block raised ``ApiError`` or ``FetchError``.
    """
    try:
        yield
    except FetchError as failure:
        why = f" ({failure.cause})" if failure.cause != str(failure) else ""
        raise CheckError(
            f"{name}: {failure}{why}. The rule: {compared}. {_sentence(failure.told) or _REMEDY}"
        ) from None
    except ApiError as failure:
        row, reason = failure.error, f" ({failure.reason})" if failure.reason else ""
        # A person who checks settings will not just wait.
        remedy = _sentence(told()) or (_REMEDY if row.status == 503 else row.action)
        raise CheckError(f"{name}: {row.code} {row.detail}{reason}. The rule: {compared}. {remedy}") from None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def words(values: Iterable[str]) -> str:
    """Values in a line, in the order of the alphabet; an empty one is ``none``."""
    return ", ".join(sorted(str(value) or "none" for value in values))
