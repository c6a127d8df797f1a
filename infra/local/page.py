"""The example of a front end, laid out so that it finds the API of this machine."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path

EXAMPLE = Path("examples") / "page"


def lay_out(root: Path, folder: Path, api_port: int) -> bool:
    """Copy the page, with the API's port in its settings.

    Args:
        root: The checkout.
        folder: Takes the copy.
        api_port: Of the API.

    Returns:
        Whether the checkout has the page: an adopter may have removed it.
    """
    if not (root / EXAMPLE).is_dir():
        return False
    shutil.copytree(root / EXAMPLE, folder, dirs_exist_ok=True)
    settings = folder / "settings.js"
    settings.write_text(settings.read_text().replace(":8000`", f":{api_port}`"))
    return True


def port_beside(api_port: int, aws_port: int) -> int:
    """The port after the API's, or any free one: every page of this machine may call the API."""
    wanted = api_port + 1 if api_port + 1 not in (aws_port, 65536) else 0
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no port of 127.0.0.1 is free")
