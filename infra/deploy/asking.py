"""A question that the account may refuse: the others are asked all the same, and the report says what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from infra.deploy.account import code
from infra.stage.verified import Deviation

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NotLooked:
    """In the place of an answer.

    Attributes:
        why: Why there is none.
    """

    why: str

    def __str__(self) -> str:
        return f"not looked at: {self.why}"

    def of(self, resource: str, what: str) -> Deviation:
        """As a deviation: what was not seen is not taken to be well.

        Args:
            resource: What was asked about.
            what: What was asked.
        """
        return Deviation(resource, what, "known", str(self))


def asked(ask: Callable[[], T]) -> T | NotLooked:
    """What the account says, or why it does not.

    Args:
        ask: Calls AWS.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except ClientError as failure:
        return NotLooked(f"AWS says {code(failure)}")
    except BotoCoreError as failure:
        return NotLooked(type(failure).__name__)
