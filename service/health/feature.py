"""What this domain brings to the application."""

from __future__ import annotations

from service.feature import Feature
from service.health.routes import router

HEALTH = Feature(name="health", routers=(router,))
