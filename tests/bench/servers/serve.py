"""How every Python server of the benchmark is run, so that they differ in the application alone."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn


def serve(app: Any) -> None:
    """Serve an application on the port that the command line names."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        loop="uvloop",
        http="httptools",
        server_header=False,
    )
