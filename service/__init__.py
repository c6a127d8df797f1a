"""Signalbox: a multi-tenant health API that knows who calls and for which tenant."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("signalbox")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
