"""``python -m service``: read the environment, bring the schema up to date, serve, drain on SIGTERM."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from service.feature import Feature, settings_of
from service.naming import Names
from service.product import FEATURES, NAME, TITLE
from service.settings import Settings, SettingsError, load

DRAIN_SECONDS = 28  # from SIGTERM to the end of the process; Railway kills after its draining time, see railway.json


def main(features: Sequence[Feature] = FEATURES) -> int:
    """Run until told to stop.

    Args:
        features: What the product is made of; the tests add their own.

    Returns:
        0 after an orderly stop, 1 when the environment is wrong, the port is taken, or the schema stays behind.
    """
    # The kernel withholds signals from process 1 of a container that has no handler for them; the server sets its own
    # only once it runs, and a start may wait long for another replica's migrations.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        settings = load(os.environ, settings_of(features))
    except SettingsError as failure:
        print(failure, file=sys.stderr)  # noqa: T201  a person reads this before any log exists
        return 1
    try:
        listener = _listen(settings)
    except OSError as failure:
        taken = failure.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "Set PORT to a free one" if taken else "Set HOST to an address of this machine"
        reason = f"Cannot listen on {settings.host} port {settings.port}: {failure.strerror}. {remedy}."
        print(reason, file=sys.stderr)  # noqa: T201
        return 1
    if not _schema_is_fit(settings, features):
        return 1
    return _serve(settings, listener, features)


def _listen(settings: Settings) -> socket.socket:
    if settings.host == "::":  # every address, also those of IPv4: what is left to the kernel's default, some leave out
        return socket.create_server(("::", settings.port), family=socket.AF_INET6, backlog=2048, dualstack_ipv6=True)
    (family, *_), *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    return socket.create_server((settings.host, settings.port), family=family, backlog=2048)


def _schema_is_fit(settings: Settings, features: Sequence[Feature]) -> bool:
    from service import log_lines  # after the checks: a wrong variable is told in milliseconds
    from service.database.start import SchemaRefused, prepare_schema

    log_lines.configure(settings.log_level)
    log_lines.install_excepthook()
    try:
        prepare_schema(settings, [f.migrations for f in features if f.migrations])
    except SchemaRefused as failure:
        print(failure, file=sys.stderr)  # noqa: T201
        return False
    return True


def _serve(settings: Settings, listener: socket.socket, features: Sequence[Feature]) -> int:
    import uvicorn

    from service.app import create_app
    from service.http.protocol import Protocol
    from service.http.server import Server
    from service.running import running

    app = create_app(settings, features, names=Names(NAME), title=TITLE)
    server = Server(
        uvicorn.Config(
            app,
            http=Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # no decision here rests on a client's address
            timeout_keep_alive=65,  # longer than the edge's 60, so that it is not us who closes under a request
            ws="none",
        ),
        retire=lambda: running(app).readiness.retire(),
        lame_duck=settings.lame_duck,
        end=DRAIN_SECONDS,
        max_body_bytes=settings.max_body_bytes,
    )
    with suppress(SystemExit):  # how it ends when the application refuses to start
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    raise SystemExit(main())
