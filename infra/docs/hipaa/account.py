"""What `signalbox verify` found in the account of the production stage, as its report says."""

from __future__ import annotations

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

from infra.shell.failure import Failure


class Deviation(BaseModel):
    """Something that is not as its template says.

    Attributes:
        resource: Its id in the account.
        what: What was compared.
        wanted: As the template has it.
        found: As the account has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    resource: str
    what: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.what} of {self.resource} is {self.found}, and its template says {self.wanted}"


class Verified(BaseModel):
    """One look at an account.

    Attributes:
        stage: Whose.
        when: Time of the look.
        compared: How many comparisons were made.
        deviations: What is not as it should be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    when: AwareDatetime
    compared: NonNegativeInt
    deviations: tuple[Deviation, ...]


def read(report: Path, stage: str) -> Verified:
    """The report as `signalbox verify` wrote it.

    Args:
        report: Its JSON.
        stage: Which it has to be about.

    Raises:
        Failure: It is no such report, or one about another stage.
    """
    try:
        found = Verified.model_validate_json(report.read_bytes())
    except ValidationError:
        raise Failure(
            f"{report} is no report of an account: signalbox verify {stage} --format json > {report}"
        ) from None
    if found.stage != stage:
        raise Failure(
            f"{report} is about stage {found.stage}, and the table is about {stage}: signalbox verify {stage}"
        )
    return found
