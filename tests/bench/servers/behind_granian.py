"""The same application behind another server, granian: what a request would cost without ``service.http.protocol``.

What bounds head, body and time, refuses in our shape and stops in three steps is missing: it is uvicorn's and ours.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from service import log_lines
from service.app import create_app
from service.feature import Feature, settings_of
from service.naming import Names
from service.product import FEATURES, NAME, TITLE
from service.settings import load
from tests.bench.servers.ours import router


async def serve() -> None:
    features = (*FEATURES, Feature(name="bench", routers=(router,)))
    log_lines.configure("INFO")
    app = create_app(load(os.environ, settings_of(features)), features, names=Names(NAME), title=TITLE)
    await Server(app, address="127.0.0.1", port=int(sys.argv[1]), interface=Interfaces.ASGI, log_enabled=False).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
