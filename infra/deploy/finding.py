"""What a check found, for `doctor` and for `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        state: ``missing`` stops a deployment.
        name: What was checked.
        text: What was found, or what to do.
    """

    state: State
    name: str
    text: str
