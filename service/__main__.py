"""``python -m service``: read the environment, serve, bring the schema up to date first of all, drain on SIGTERM."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from service.feature import Feature
    from service.http.entrance import Entrance
    from service.settings import Settings

DRAIN_SECONDS = 28  # from SIGTERM to the end of the process; Railway kills after its draining time, see railway.json


def main(features: Sequence[Feature] | None = None) -> int:
    """Run until told to stop.

    Args:
        features: None takes what the product is made of; the tests add their own.

    Returns:
        0 after an orderly stop, 1 when the environment is wrong, the port is taken, or the schema stays behind.
    """
    # The kernel withholds signals from process 1 of a container that has no handler for them; the server sets its own
    # only once it runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    gc.disable()  # until it serves: what a start makes is meant to stay, and each look through it finds nothing
    from service.feature import settings_of
    from service.product import FEATURES
    from service.settings import SettingsError, load

    features = FEATURES if features is None else features
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
    return _serve(settings, listener, features)


def _listen(settings: Settings) -> socket.socket:
    if settings.host == "::":  # every address, also those of IPv4: what is left to the kernel's default, some leave out
        return socket.create_server(("::", settings.port), family=socket.AF_INET6, backlog=2048, dualstack_ipv6=True)
    (family, *_), *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    return socket.create_server((settings.host, settings.port), family=family, backlog=2048)


def _serve(settings: Settings, listener: socket.socket, features: Sequence[Feature]) -> int:
    import uvicorn

    from service import log_lines  # after the checks: a wrong variable is told in milliseconds
    from service.app import create_app
    from service.http.entrance import Entrance
    from service.http.gate import vital_paths
    from service.http.protocol import Protocol
    from service.http.server import Server
    from service.naming import Names
    from service.product import NAME, TITLE
    from service.running import running

    log_lines.configure(settings.log_level)
    log_lines.install_excepthook()
    app = create_app(settings, features, names=Names(NAME), title=TITLE)
    vital = frozenset(vital_paths(router for feature in features for router in feature.routers))
    served: ASGIApp = (entrance := Entrance(app, vital))
    telemetry = None
    if settings.otel_exporter_otlp_endpoint:
        try:
            from service.telemetry import Telemetry  # here: what is not asked for costs nothing
        except ModuleNotFoundError as failure:
            reason = f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but the package of {failure.name} is not installed"
            print(f"{reason}. Install the group telemetry (uv sync), or unset it.", file=sys.stderr)  # noqa: T201
            return 1
        served = telemetry = Telemetry(app, entrance, vital, settings, NAME)
    server = Server(
        uvicorn.Config(
            served,
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
        admission=running(app).admission,
    )
    if telemetry is not None:
        telemetry.watch(server)
    schema = Schema(settings, [f.migrations for f in features if f.migrations], entrance, server.give_up)
    schema.start()
    with suppress(SystemExit):  # how it ends when the application refuses to start
        server.run(sockets=[listener])
    if telemetry is not None:
        telemetry.close()
    return 0 if server.started and not schema.refused else 1


class Schema(threading.Thread):
    """Brings the schema up to date beside the server, which says meanwhile that it lives and is not ready.

    Args:
        settings: The environment.
        lines: Folders of the features' migrations.
        entrance: Opened when the schema is fit, or the database cannot be asked.
        give_up: Ends the server.
    """

    def __init__(
        self, settings: Settings, lines: Sequence[Path], entrance: Entrance, give_up: Callable[[], None]
    ) -> None:
        super().__init__(name="schema", daemon=True)
        self._settings, self._lines, self._entrance, self._give_up = settings, lines, entrance, give_up
        self.refused = False

    def run(self) -> None:
        """Until the schema is fit, or will not be."""
        from service.database.start import SchemaRefused, prepare_schema

        try:
            prepare_schema(self._settings, self._lines, unknown=self._open)
            self._open()
        except SchemaRefused as failure:
            print(failure, file=sys.stderr)  # noqa: T201  for the person who starts it
            self._refuse()
        except BaseException:
            self._refuse()
            raise

    def _open(self) -> None:
        self._entrance.open = True

    def _refuse(self) -> None:
        self.refused = True
        self._give_up()


if __name__ == "__main__":
    raise SystemExit(main())
