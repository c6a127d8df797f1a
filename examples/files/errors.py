"""What this folder alone can answer."""

from __future__ import annotations

from typing import Final

from service.errors import Error

STORAGE_DOWN: Final = Error(
    "FILES_001", 503, "Service unavailable", "The storage of files cannot be reached", "Retry after the given time."
)
KEY_REFUSED: Final = Error(
    "FILES_002", 401, "Invalid API key", "The API key is not known, or has ended", "Have an administrator make another."
)
TOO_LARGE: Final = Error(
    "FILES_003", 413, "Content too large", "The file is over the limit", "Send a smaller one, or see FILES__MAX_BYTES."
)
NO_ADMINISTRATOR: Final = Error(
    "FILES_004",
    403,
    "Permission denied",
    "The caller is no administrator",
    "Ask for the role admin.",
    "insufficient_scope",
)
KEYS_OFF: Final = Error("FILES_005", 404, "Not found", "API keys are switched off", "Set FILES__KEY_SECRET_ID.")

FILES_ERRORS: Final = (STORAGE_DOWN, KEY_REFUSED, TOO_LARGE, NO_ADMINISTRATOR, KEYS_OFF)
