"""The report of ``signalbox verify``: one record, which the comparison fills and the readiness table reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from infra.shell.failure import Failure

# Strict: a report that was written by hand, or by another version, is refused and not guessed at.
_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Deviation:
    """Something that is not as the template says, or could not be asked.

    Attributes:
        resource: Its id in the account.
        what: What was compared.
        wanted: As the template has it.
        found: As the account has it.
    """

    resource: str
    what: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.what} of {self.resource} is {self.found}, and its template says {self.wanted}"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Report:
    """One look at an account.

    Attributes:
        stage: Whose.
        when: Time of the look.
        compared: How many comparisons were made.
        deviations: What is not as it should be.
    """

    stage: str
    when: AwareDatetime
    compared: NonNegativeInt
    deviations: tuple[Deviation, ...]

    def json(self) -> str:
        """For machines; ``read`` takes it back."""
        return _JSON.dump_json(self, indent=2).decode() + "\n"

    def markdown(self) -> str:
        """For people."""
        head = (
            f"# Stage {self.stage}, {self.when.isoformat()}\n\n"
            f"{self.compared} comparisons, {len(self.deviations)} deviations.\n"
        )
        if not self.deviations:
            return head
        rows = [f"| {one.resource} | {one.what} | {one.wanted} | {one.found} |" for one in self.deviations]
        return "\n".join([head, "| resource | what | template | account |", "|---|---|---|---|", *rows, ""])


_JSON: Final = TypeAdapter(Report)


def read(file: Path, stage: str) -> Report:
    """The report as ``signalbox verify`` wrote it.

    Args:
        file: Its JSON.
        stage: Which it has to be about.

    Raises:
        Failure: It is no such report, or one about another stage.
    """
    try:
        found = _JSON.validate_json(file.read_bytes())
    except ValidationError:
        raise Failure(f"{file} is no report of an account: signalbox verify {stage} --format json > {file}") from None
    if found.stage != stage:
        raise Failure(f"{file} is about stage {found.stage}, and the table is about {stage}: signalbox verify {stage}")
    return found
