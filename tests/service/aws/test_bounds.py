"""An AWS that is slow, endless or wrong: every call ends in time and in size, and what was read before still serves."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import botocore.exceptions
import pytest

from service.auth.login.sealing import Sealer
from service.aws import bounds, secrets
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.bounded import Bounded
from service.errors import SECRETS_DOWN, ApiError
from service.settings import Secret, Settings, load
from tests.support.api.environments import DEVELOPMENT
from tests.support.cloud.secrets_manager import SecretsManager

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"


def settings(**changes: str) -> Settings:
    provider = {"IDP__X__KIND": "cognito", "IDP__X__ISSUER": "https://idp.example.com", "IDP__X__CLIENT_ID": "x"}
    return load({**DEVELOPMENT, **provider, "AWS_REGION": "us-east-1", **changes})


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Gives every connection to ``answer``; its address."""
    stop = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                answer(connection)
            except OSError:
                return  # hung up on

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def drip(connection: socket.socket, head: bytes, byte: bytes) -> None:
    connection.recv(65_536)
    connection.sendall(head)
    for _ in range(1200):  # a minute
        connection.sendall(byte)
        time.sleep(0.05)


def in_the_head(connection: socket.socket) -> None:
    drip(connection, HEAD + b"X-Endless: ", b"x")


def in_the_body(connection: socket.socket) -> None:
    drip(connection, HEAD + b"Content-Length: 100000\r\n\r\n", b" ")


def in_a_chunk_size(connection: socket.socket) -> None:
    drip(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0")


def in_the_handshake(connection: socket.socket) -> None:
    drip(connection, b"\x16\x03\x03\x3f\xff", b"\x02")  # a TLS record of 16 kB


def without_end(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "scheme"),
    [
        (in_the_head, "http"),
        (in_the_body, "http"),
        (in_a_chunk_size, "http"),
        (in_the_handshake, "https"),
        (without_end, "http"),
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_an_answer_of_aws_ends(answer: Callable[[socket.socket], None], scheme: str) -> None:
    with server(answer) as address:
        client = Aws(settings(AWS_ENDPOINT_URL=f"{scheme}://{address}")).client("kms")
        begun = time.monotonic()
        with pytest.raises(botocore.exceptions.BotoCoreError) as failure:
            client.get_public_key(KeyId="x")
        assert time.monotonic() - begun < 20  # 2.5 are promised; the answer would take a minute
        if answer is not without_end:
            assert isinstance(failure.value, botocore.exceptions.ReadTimeoutError)
        else:
            assert str(bounds.MAX_BYTES) in str(failure.value)


def test_an_object_of_a_bucket_is_left_to_what_reads_it() -> None:
    size = bounds.MAX_BYTES + 1

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size)

    with server(answer) as address:
        client = Aws(settings(AWS_ENDPOINT_URL=f"http://{address}")).client("s3")
        assert len(client.get_object(Bucket="b", Key="k")["Body"].read()) == size


async def test_a_secret_that_was_read_serves_while_the_store_is_down_and_is_read_again_behind_the_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "RETRY_AFTER", 0.0)
    monkeypatch.setattr(secrets, "PAUSE", 0.0)
    kept, missing = Secret("kept"), Secret("missing")
    with SecretsManager() as store:
        store.rotate("kept", "one")
        found = Secrets(Aws(settings(AWS_ENDPOINT_URL=store.url)))
        assert await found.state() == "ok", "no secret was asked for yet"
        assert await found.text(kept) == "one"
        assert await found.state() == "ok"

        store.down = True
        assert await found.text(kept, refresh=True) == "one"
        assert await found.state() == "stale"
        with pytest.raises(ApiError) as refused:
            await found.text(missing)
        assert refused.value.error is SECRETS_DOWN
        assert await found.state() == "unavailable"

        store.down = False
        store.rotate("kept", "two")
        store.rotate("missing", "three")
        for _ in range(500):  # no request asks: readiness does
            if await found.state() == "ok":
                break
            await asyncio.sleep(0.02)
        assert await found.state() == "ok"
        assert [await found.text(kept), await found.text(missing)] == ["two", "three"]


async def test_an_old_secret_is_renewed_without_holding_up_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with SecretsManager() as store:
        store.rotate("kept", "one")
        found = Secrets(Aws(settings(AWS_ENDPOINT_URL=store.url)))
        assert await found.text(Secret("kept")) == "one"
        store.rotate("kept", "two")
        monkeypatch.setattr(secrets, "MAX_AGE", 0.0)
        assert await found.text(Secret("kept")) == "one", "what is known, at once"
        for _ in range(500):
            if await found.text(Secret("kept")) == "two":
                break
            await asyncio.sleep(0.02)
        assert await found.text(Secret("kept")) == "two"


async def test_many_callers_of_an_unknown_secret_cause_one_read() -> None:
    with SecretsManager() as store:
        store.rotate("kept", "one")
        found = Secrets(Aws(settings(AWS_ENDPOINT_URL=store.url)))
        assert set(await asyncio.gather(*(found.text(Secret("kept")) for _ in range(50)))) == {"one"}
        assert store.reads == 1


async def test_a_session_key_that_is_too_short_is_refused_from_the_store_too() -> None:
    with SecretsManager() as store:
        store.rotate("session", "x" * 31)
        sealer = Sealer(Secrets(Aws(settings(AWS_ENDPOINT_URL=store.url))), Secret("session"))
        for attempt in (sealer.seal(b"content", b"p"), sealer.open(b"x" * 64, b"p")):
            with pytest.raises(ApiError) as refused:
                await attempt
            assert (refused.value.error, refused.value.reason) == (SECRETS_DOWN, "session_key_too_short")
        store.rotate("session", "y" * 32)
        store.rotate("session", "z" * 32)
        fresh = Sealer(Secrets(Aws(settings(AWS_ENDPOINT_URL=store.url))), Secret("session"))
        assert await fresh.open(await fresh.seal(b"content", b"p"), b"p") == b"content"


async def test_a_place_is_free_again_when_its_work_has_ended_not_when_its_caller_has_gone() -> None:
    bounded = Bounded("test", threads=1, waiting=1, full=SECRETS_DOWN, reason="busy")
    end = threading.Event()
    task = asyncio.create_task(bounded.run(end.wait, 20))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ApiError) as refused:
        await bounded.run(json.dumps, 1)
    assert refused.value.reason == "busy"
    end.set()
    for _ in range(500):
        try:
            assert await bounded.run(json.dumps, 1) == "1"
            break
        except ApiError:
            await asyncio.sleep(0.02)
    else:
        pytest.fail("the place was never free again")
    bounded.close()
