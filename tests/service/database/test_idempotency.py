"""A request with a key is applied once: by two replicas, of which one loses the answers to its commits."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.api.server import Server
from tests.support.database.cut import LosesCommits
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

NOTES = "/api/v1/notes"
ONCE = f"{NOTES}/once"


@pytest.fixture(scope="module")
def way(module_database: Database) -> Iterator[LosesCommits]:
    with LosesCommits(module_database.server.port) as running:
        yield running


@pytest.fixture(scope="module")
def replicas(module_issuer: Issuer, module_database: Database, way: LosesCommits) -> Iterator[tuple[Server, Server]]:
    direct = module_database.url()
    cut = direct.replace(f":{module_database.server.port}/", f":{way.port}/")
    environment = {**module_issuer.environment(), "ALLOWED_ORIGINS": "https://app.example.com"}
    with (
        Server({**environment, "DATABASE_URL": cut}, "tests.support.api.serve") as one,
        Server({**environment, "DATABASE_URL": direct}, "tests.support.api.serve") as two,
    ):
        yield one, two


@pytest.fixture
def server(replicas: tuple[Server, Server], module_database: Database) -> Server:
    module_database.as_superuser("truncate app.note, app.idempotency_key")
    return replicas[1]


def send(
    server: Server, token: str, key: str, path: str = NOTES, body: str = "once", **options: object
) -> httpx.Response:
    options.setdefault("json", {"body": body})
    return server.post(path, token, headers={"Idempotency-Key": key}, **options)


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def stored(database: Database) -> int:
    return int(database.as_superuser("select count(*) from app.note")[0][0])


def new_key() -> str:
    return f'"{uuid.uuid4()}"'


def test_a_repeat_after_an_unknown_outcome_is_stored_once_whoever_takes_it(
    server: Server, replicas: tuple[Server, Server], way: LosesCommits, module_issuer: Issuer, module_database: Database
) -> None:
    token, key = module_issuer.token(), new_key()
    assert replicas[0].get(NOTES, token).status_code == 200
    way.armed = True
    lost = send(replicas[0], token, key)
    way.armed = False
    assert told(lost) == (503, "SYS_010")
    again = [send(replica, token, key) for replica in (*replicas, server)]
    assert [answer.status_code for answer in again] == [201] * 3
    assert {answer.headers["Idempotent-Replayed"] for answer in again} == {"true"}
    assert {answer.headers["Content-Type"] for answer in again} == {"application/json"}
    (note,) = module_database.as_superuser("select id from app.note")
    assert {answer.json()["id"] for answer in again} == {str(note["id"])}


def test_duplicates_at_once_are_applied_once(
    server: Server, replicas: tuple[Server, Server], module_issuer: Issuer, module_database: Database
) -> None:
    token, quick, slow = module_issuer.token(), new_key(), new_key()
    with ThreadPoolExecutor(7) as threads:
        duplicates = [
            threads.submit(send, replicas[number % 2], token, quick, ONCE, params={"seconds": 0.5})
            for number in range(4)
        ]
        first = threads.submit(send, server, token, slow, ONCE, params={"seconds": 3.7})
        sleeping = "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        while len(module_database.as_superuser(sleeping)) < 2:
            time.sleep(0.02)
        refused = send(replicas[0], token, slow, ONCE, params={"seconds": 3.7})
        assert told(refused) == (409, "REQ_012")
    answers = [duplicate.result() for duplicate in duplicates]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
    assert first.result().status_code == 201
    assert stored(module_database) == 2


def test_a_request_that_broke_off_leaves_no_key_behind(
    server: Server, module_issuer: Issuer, module_database: Database
) -> None:
    token, key = module_issuer.token(), new_key()
    with ThreadPoolExecutor(1) as thread:
        broken = thread.submit(send, server, token, key, ONCE, params={"seconds": 8})
        end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        while not module_database.as_superuser(end):
            time.sleep(0.02)
    assert told(broken.result()) == (503, "SYS_002")
    assert stored(module_database) == 0
    assert send(server, token, key, ONCE).status_code == 201, "no other request has taken the key"
    assert stored(module_database) == 1


def test_what_was_refused_may_be_repeated(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    token, key = module_issuer.token(), new_key()
    wanted = {"body": "mine", "slug": "taken"}
    assert server.post(NOTES, token, json=wanted).status_code == 201
    assert told(send(server, token, key, json=wanted)) == (409, "REQ_008")
    module_database.as_superuser("truncate app.note")
    assert send(server, token, key, json=wanted).status_code == 201


def test_a_key_is_its_callers_own(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    key = new_key()
    callers = [("acme", "alice"), ("acme", "bob"), ("globex", "alice"), ("globex", "bob")]
    answers = [send(server, module_issuer.token(*caller), key, body=f"of {caller}") for caller in callers]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert not any("Idempotent-Replayed" in answer.headers for answer in answers)
    assert stored(module_database) == 4
    assert module_database.run("select * from app.idempotency_key") == [], "without a tenant there is none to see"


def test_a_key_names_one_request(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    token, key = module_issuer.token(), new_key()
    assert send(server, token, key).status_code == 201
    others = [
        send(server, token, key, body="another"),
        send(server, token, key, path=ONCE),
        send(server, token, key, params={"q": "1"}),
        send(server, token, key, json={"body": 1}),
    ]
    assert [told(answer) for answer in others] == [(422, "REQ_011")] * 4
    assert send(server, token, key.strip('"')).headers["Idempotent-Replayed"], "the quotes are no part of a key"
    assert stored(module_database) == 1


def test_what_is_no_key_is_refused(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    token = module_issuer.token()
    bad = [
        "",
        '""',
        '"',
        '"open',
        "two words",
        '"a", "b"',
        "a,b",
        '"a";q=1',
        '"tab\t"',
        '"\\n"',
        "x" * 256,
        f'"{"x" * 256}"',
    ]
    for key in (*bad, "ä".encode()):
        assert told(send(server, token, key)) == (400, "REQ_010"), key  # type: ignore[arg-type]
    twice = httpx.Headers([("Authorization", f"Bearer {token}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")])
    assert told(server.client.post(NOTES, headers=twice, json={"body": "x"})) == (400, "REQ_010")
    assert told(server.post(ONCE, token, json={"body": "x"})) == (400, "REQ_010"), "this route demands one"
    assert stored(module_database) == 0
    for key in ("x" * 255, f'"{"x" * 254}\\""', '" spaces and \\\\ "', "a:b/c=d+e~f"):
        assert send(server, token, key).status_code == 201, key


def test_a_key_is_kept_for_a_day_and_cleared_away_whoever_calls(
    server: Server, module_issuer: Issuer, module_database: Database
) -> None:
    acme, globex, key = module_issuer.token("acme"), module_issuer.token("globex"), new_key()
    send(server, acme, key)
    send(server, globex, new_key())
    module_database.as_superuser("update app.idempotency_key set created_at = now() - interval '23 hours'")
    assert "Idempotent-Replayed" in send(server, acme, key).headers
    module_database.as_superuser("update app.idempotency_key set created_at = now() - interval '25 hours'")
    module_database.as_superuser(
        "insert into app.idempotency_key (tenant_id, caller, key, request, created_at)"
        " select 'quiet', sha256('x'), n::text, sha256('x'), now() - interval '2 days' from generate_series(1, 150) n"
    )
    again = send(server, acme, key)
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)
    assert stored(module_database) == 3
    kept = "select count(*) from app.idempotency_key"
    assert module_database.as_superuser(kept)[0][0] == 52, "a hundred at once, the oldest first"
    send(server, acme, new_key())
    assert module_database.as_superuser(kept)[0][0] == 2, "globex was cleared away too"


def test_forms_and_large_answers(server: Server, module_issuer: Issuer, module_database: Database) -> None:
    token, form, large = module_issuer.token(), new_key(), new_key()
    for replayed in (False, True):
        answer = server.post(f"{ONCE}/form", token, headers={"Idempotency-Key": form}, data={"body": "x"})
        assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (200, replayed)
    assert send(server, token, large, ONCE, params={"size": 300_000}).status_code == 201
    assert told(send(server, token, large, ONCE, params={"size": 300_000})) == (409, "REQ_008")
    assert stored(module_database) == 2


def test_an_answer_is_not_given_again_to_who_may_no_longer_ask(server: Server, module_issuer: Issuer) -> None:
    token, key = module_issuer.token(), new_key()
    assert send(server, token, key, f"{ONCE}/allowed", body="mine").status_code == 200
    assert server.post(NOTES, token, json={"body": "locked"}).status_code == 201
    assert told(send(server, token, key, f"{ONCE}/allowed", body="mine")) == (403, "AUTH_034")


def test_clients_are_told_of_it(server: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    for path, required in ((NOTES, False), (ONCE, True)):
        operation = paths[path]["post"]
        (header,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
        assert (header["in"], header.get("required", False)) == ("header", required)
        for status, code in (("400", "REQ_010"), ("422", "REQ_011"), ("409", "REQ_012")):
            assert code in operation["responses"][status]["content"]["application/json"]["examples"]
    assert "parameters" not in paths[NOTES]["get"]
    preflight = server.request(
        "OPTIONS",
        NOTES,
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key",
        },
    )
    assert preflight.status_code == 200
