"""What this folder brings to the application."""

from __future__ import annotations

from pathlib import Path

from service.feature import Feature

from .routes import router

NOTES = Feature(name="notes", routers=(router,), migrations=Path(__file__).parent / "migrations")
