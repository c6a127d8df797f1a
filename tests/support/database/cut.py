"""A way to the database that loses the answer to a commit: the server has it, the client never learns."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class LosesCommits:
    """Passes everything on until a COMMIT comes by while ``armed``; then the answer is lost with the connection.

    Args:
        port: Of the database on this machine.
    """

    def __init__(self, port: int) -> None:
        self.armed = False
        self.lost = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                lost = threading.Event()
                threading.Thread(target=self._up, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client, lost), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.armed and b"COMMIT" in data:
                    lost.set()
                    self.lost += 1
                server.sendall(data)
        _end(server)

    def _down(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if lost.is_set():  # the server has answered: what was asked for is done
                    break
                client.sendall(data)
        _end(client)


def _end(connection: socket.socket) -> None:
    """Closing alone would wait for the thread that still reads from it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
