"""What this folder brings to the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from service.feature import Core, Feature, Started
from service.readiness import Check

from .errors import FILES_ERRORS
from .keys import API_KEY, ApiKeys, Keys
from .routes import Files, router
from .settings import FilesSettings
from .storage import Storage


@asynccontextmanager
async def start(core: Core) -> AsyncIterator[Started]:
    """Open what the routes need.

    Args:
        core: Of the application.
    """
    settings = core.settings.of(FilesSettings)
    storage = Storage(core.settings.s3_bucket_name)
    keys = Keys(core.secrets, settings.key_secret) if settings.key_secret else None
    try:
        yield Started(
            parts=(Files(settings, storage, keys),),
            # Not decisive: without the bucket the replica still serves everything else.
            checks={"files": Check(storage.state)},
            strategies=(ApiKeys(keys, core.engine),) if keys else (),
        )
    finally:
        storage.close()


FILES: Final = Feature(
    name="files",
    routers=(router,),
    errors=FILES_ERRORS,
    settings=FilesSettings,
    migrations=Path(__file__).parent / "migrations",
    log_fields=frozenset({"file_id"}),
    schemes=(API_KEY,),
    start=start,
)
