"""Ways to the database that lose what the server answers, or end a connection while it is being opened."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class _Way:
    """Takes connections on a port of its own, for as long as its block runs."""

    def __init__(self, target: int) -> None:
        self._target = target
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
                self._take(self._listener.accept()[0])

    def _take(self, client: socket.socket) -> None:
        raise NotImplementedError


class LosesCommits(_Way):
    """Passes everything on until a COMMIT comes by while ``armed``; then the answer is lost with the connection.

    Args:
        port: Of the database on this machine.
        word: What is lost instead of a COMMIT.
        times: How often; then it is no longer armed.
    """

    def __init__(self, port: int, word: bytes = b"COMMIT", times: int = 1_000_000) -> None:
        super().__init__(port)
        self.armed = False
        self._word, self._times = word, times
        self.lost = 0

    def _take(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        lost = threading.Event()
        threading.Thread(target=self._up, args=(client, server, lost), daemon=True).start()
        threading.Thread(target=self._down, args=(server, client, lost), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.armed and self._word in data:
                    lost.set()
                    self.lost += 1
                    self.armed = self.lost < self._times
                server.sendall(data)
        _end(server)

    def _down(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if lost.is_set():  # the server has answered: what was asked for is done
                    break
                client.sendall(data)
        _end(client)


class CutsOpening(_Way):
    """Ends connections while they are being opened, and counts those that are begun.

    Args:
        port: Of the database on this machine.
        after: How many messages of the client it waits for: the first names the database, the next log in.
        times: How many connections it ends; those after them it lets through.
    """

    def __init__(self, port: int, *, after: int = 0, times: int = 0) -> None:
        super().__init__(port)
        self.begun = 0
        self._after, self._times = after, times

    def _take(self, client: socket.socket) -> None:
        self.begun += 1
        threading.Thread(target=self._pass, args=(client, self.begun <= self._times), daemon=True).start()

    def _pass(self, client: socket.socket, cut: bool) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            down = threading.Thread(target=self._down, args=(server, client), daemon=True)
            down.start()
            messages = 0
            while not (cut and messages >= self._after) and (data := client.recv(65_536)):
                messages += 1
                server.sendall(data)
            _end(client)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)
        _end(client)


def _end(connection: socket.socket) -> None:
    """Closing alone would wait for the thread that still reads from it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
