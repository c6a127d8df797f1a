"""What a record refuses, in words for the person who writes it."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Final

from pydantic import AfterValidator, ValidationError

_HERE: Final = Path(__file__).resolve()
_RECORDS: Final = _HERE.parents[1] / "product.py"  # the adopter's
_NAMES: Final = _HERE.with_name("names.py")  # reads the adopter's names when it is imported
_OF_ANOTHER: Final = "default_factory_not_called"  # follows from another field's refusal, which is told


def form(pattern: str, words: str) -> AfterValidator:
    """A text of one form, whose refusal says the form and not the pattern.

    Args:
        pattern: Of the whole text.
        words: What a text of that form is.
    """
    whole = re.compile(pattern)

    def judged(text: str) -> str:
        if not whole.fullmatch(text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(judged)


def told(refused: ValidationError, follows: str = "") -> str:
    """Each field that is refused and why, on one line.

    Args:
        refused: By a record or a part of one.
        follows: A field that was made of others, whose refusal says nothing beside theirs.
    """
    errors = refused.errors(include_url=False, include_context=False, include_input=False)
    errors = [error for error in errors if error["type"] != _OF_ANOTHER]
    return "; ".join(
        f"{'.'.join(map(str, error['loc']))} {error['msg'].removeprefix('Value error, ')}".strip()
        for error in errors
        if error["loc"] != (follows,) or len(errors) == 1
    )


def product_refused(failure: Exception) -> str | None:
    """One sentence about a file of the adopter's that is refused as it is read; None where the failure is another.

    Args:
        failure: What its import raised.
    """
    frames = traceback.extract_tb(failure.__traceback__)
    if isinstance(failure, ValidationError):
        line = next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == _RECORDS), None)
        return f"infra/product.py, line {line}: {failure.title}: {told(failure)}" if line else None
    at_import = any(frame.name == "<module>" and Path(frame.filename) == _NAMES for frame in frames)
    return str(failure) if isinstance(failure, ValueError) and at_import else None
