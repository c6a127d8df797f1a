"""Signalbox: a multi-tenant health API that knows who calls and for which tenant."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  an older one, started without uv, shall end in a sentence
    sys.exit(
        f"{sys.executable} is Python {sys.version.split()[0]}, and Signalbox needs 3.11 or newer: start it with uv run"
    )

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("signalbox")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
