"""The adopter's: what this product is called, and what it is made of. A newer template never changes this file."""

from __future__ import annotations

from typing import Final

from service.auth.feature import AUTH
from service.feature import Feature
from service.health.feature import HEALTH

NAME: Final = "signalbox"  # in AWS, PostgreSQL, cookies: `uv run signalbox init` changes it
TITLE: Final = "Signalbox"  # in OpenAPI and on pages
FEATURES: Final[tuple[Feature, ...]] = (
    AUTH,
    HEALTH,
)
