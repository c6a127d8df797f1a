"""The variables of this feature: ``FILES__...``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service.settings import Secret


class FilesSettings(BaseModel):
    """What a deployment may choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(
        default=524_288, ge=1, le=50_000_000, description="Largest file, in bytes.", examples=["524288"]
    )
    key_days: int = Field(default=90, ge=1, le=366, description="Days until an API key ends.", examples=["90"])
    key_secret: Secret | None = Field(
        default=None,
        description="Secrets Manager entry that API keys are digested with; without it there are no API keys.",
        examples=["signalbox/production/files-keys"],
    )
