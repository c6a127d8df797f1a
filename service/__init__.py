"""Signalbox: a multi-tenant health API that knows who calls and for which tenant."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  an older one, started without uv, shall end in a sentence
    sys.exit(
        f"{sys.executable} is Python {sys.version.split()[0]}, and Signalbox needs 3.11 or newer: start it with uv run"
    )

__version__: str


def __getattr__(name: str) -> str:
    """``__version__``, read when it is asked for: ``signalbox --help`` does not wait for what reads it."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("signalbox")
    except PackageNotFoundError:  # run from a source tree that was never installed
        found = "0.0.0"
    globals()[name] = found
    return found
