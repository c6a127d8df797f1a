"""Files of two tenants: by a person's token and by a program's key, each sees its own and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api.server import Server
from tests.support.cloud.emulator import Emulator
from tests.support.database.databases import Database, Databases
from tests.support.idp.issuer import Issuer

BUCKET, ROLE = "files-of-the-tests", "tenant-of-the-tests"
SECRET = "a-secret-that-keys-are-digested-with"
CONTENT = b"a report"
FILE = {"name": "report", "content": base64.b64encode(CONTENT).decode()}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    return databases.migrated()


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as running:
        running.client("s3").create_bucket(Bucket=BUCKET)
        running.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
        yield running


@pytest.fixture(scope="module")
def environment(issuer: Issuer, database: Database, aws: Emulator) -> dict[str, str]:
    return {
        **issuer.environment(),
        "DATABASE_URL": database.url(),
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "S3_BUCKET_NAME": BUCKET,
        "TENANT_ROLE_ARN": f"arn:aws:iam::000000000000:role/{ROLE}",
        "FILES__MAX_BYTES": "1000",
        "FILES__KEY_SECRET": SECRET,
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[Server]:
    with Server(environment) as running:
        yield running


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def add(server: Server, token: str | None, **headers: str) -> str:
    answer = server.post("/api/v1/files", token, json=FILE, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def key_of(server: Server, issuer: Issuer, tenant: str) -> tuple[str, str]:
    admin = issuer.token(tenant, "root", roles=["admin"])
    made = server.post("/api/v1/files/keys", admin, json={"name": "scanner"})
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["key"]


def test_a_file_is_seen_by_its_tenant_alone(server: Server, issuer: Issuer, aws: Emulator) -> None:
    acme, globex = issuer.token("acme"), issuer.token("globex", "bob")
    mine = add(server, acme)
    assert server.get(f"/api/v1/files/{mine}", acme).content == CONTENT
    assert mine in [file["id"] for file in server.get("/api/v1/files", acme).json()]
    assert mine not in server.get("/api/v1/files", globex).text
    assert code(server.get(f"/api/v1/files/{mine}", globex)) == (404, "REQ_001")
    stored = aws.client("s3").get_object(Bucket=BUCKET, Key=f"tenants/acme/files/{mine}")
    assert stored["Body"].read() == CONTENT


def test_a_key_sees_what_its_tenant_sees_until_it_is_ended(server: Server, issuer: Issuer) -> None:
    (id_, key), (_, other) = key_of(server, issuer, "acme"), key_of(server, issuer, "globex")
    mine = add(server, None, **{"X-API-Key": key})
    assert server.get(f"/api/v1/files/{mine}", issuer.token("acme")).content == CONTENT
    assert code(server.get(f"/api/v1/files/{mine}", headers={"X-API-Key": other})) == (404, "REQ_001")
    assert code(server.post("/api/v1/files/keys", json={"name": "x"}, headers={"X-API-Key": key})) == (403, "FILES_004")
    globex, acme = (issuer.token(tenant, "root", roles=["admin"]) for tenant in ("globex", "acme"))
    assert code(server.request("DELETE", f"/api/v1/files/keys/{id_}", globex)) == (404, "REQ_001")
    assert server.request("DELETE", f"/api/v1/files/keys/{id_}", acme).status_code == 204
    assert code(server.get("/api/v1/files", headers={"X-API-Key": key})) == (401, "FILES_002")


@pytest.mark.parametrize("key", ["", "x", "fk_" + "A" * 43, "fk_" + "A" * 43 + "\xe9", "Bearer x"])
def test_what_is_no_key_is_refused(server: Server, key: str) -> None:
    answer = server.get("/api/v1/files", headers={b"X-API-Key": key.encode("latin-1")})
    assert code(answer) == (401, "FILES_002")


def test_a_key_and_a_token_together_are_refused(server: Server, issuer: Issuer) -> None:
    _, key = key_of(server, issuer, "acme")
    both = server.get("/api/v1/files", issuer.token("globex"), headers={"X-API-Key": key})
    assert code(both) == (400, "AUTH_022")


def store(database: Database, tenant: str, key: str, ends: str) -> None:
    digest = hmac.digest(SECRET.encode(), key.encode(), hashlib.sha256)
    row = f"'{tenant}', 'x', decode('{digest.hex()}', 'hex'), '{{}}', {ends}"
    into = "app.file_key (tenant_id, name, digest, roles, ends_at)"
    database.as_superuser(f"insert into {into} values ({row})")  # noqa: S608  values of this test


def test_a_key_that_ended_or_whose_tenant_has_no_form_admits_no_caller(server: Server, database: Database) -> None:
    store(database, "acme", "fk_" + "B" * 43, "now() - interval '1 second'")
    store(database, "not a tenant", "fk_" + "C" * 43, "now() + interval '1 day'")
    for letter in "BC":
        answer = server.get("/api/v1/files", headers={"X-API-Key": "fk_" + letter * 43})
        assert code(answer) == (401, "FILES_002")


def test_without_a_tenant_the_database_tells_of_a_key_to_who_has_its_digest(database: Database) -> None:
    store(database, "acme", "fk_" + "D" * 43, "now() + interval '1 day'")
    digest = hmac.digest(SECRET.encode(), ("fk_" + "D" * 43).encode(), hashlib.sha256)
    assert database.run("select * from app.file_key") == []
    assert database.run("select tenant_id from app.file_key_holder($1)", digest)[0]["tenant_id"] == "acme"
    assert database.run("select * from app.file_key_holder($1)", bytes(32)) == []


def test_only_an_administrator_makes_keys_and_the_refusal_is_logged(server: Server, issuer: Issuer) -> None:
    for roles in (["reader"], "administrator", "admin", None, {"admin": True}):
        answer = server.post("/api/v1/files/keys", issuer.token("acme", roles=roles), json={"name": "x"})
        assert code(answer) == (403, "FILES_004")
    refused = [event for event in server.events() if event["message"] == "permission_denied"]
    assert refused
    assert {(event["code"], event["audit"], event["tenant_id"]) for event in refused} == {("FILES_004", True, "acme")}


def test_the_log_names_the_file_and_neither_its_name_nor_a_key(server: Server, issuer: Issuer) -> None:
    _, key = key_of(server, issuer, "acme")
    mine = add(server, None, **{"X-API-Key": key})
    lines = [event for event in server.events() if event.get("file_id") == mine]
    assert [event["route"] for event in lines if event["message"] == "request"] == ["/api/v1/files"]
    assert key not in "\n".join(server.lines)


def test_a_file_over_the_limit_is_refused(server: Server, issuer: Issuer) -> None:
    large = {"name": "x", "content": base64.b64encode(b"x" * 1001).decode()}
    assert code(server.post("/api/v1/files", issuer.token("acme"), json=large)) == (413, "FILES_003")


def test_openapi_tells_what_can_be_answered_and_both_ways_to_present_oneself(server: Server) -> None:
    document = server.get("/openapi.json").json()
    add_file = document["paths"]["/api/v1/files"]["post"]
    assert add_file["security"] == [{"bearer": []}, {"files_key": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "files_key"}
    told = {
        example for answer in add_file["responses"].values() if "content" in answer
        for example in answer["content"]["application/json"].get("examples", ())
    }  # fmt: skip
    assert {"AUTH_020", "FILES_001", "FILES_002", "FILES_003", "SYS_002"} <= told


def test_without_a_bucket_and_a_secret_the_rest_is_served(
    environment: dict[str, str], issuer: Issuer, aws: Emulator
) -> None:
    without = environment | {"S3_BUCKET_NAME": "", "FILES__KEY_SECRET": ""}
    with Server(without) as server:
        ready = server.until_ready()
        assert (ready.status_code, ready.json()["checks"]["files"]) == (200, "unavailable")
        assert server.get("/api/v1/files", issuer.token("acme")).status_code == 200
        assert code(server.post("/api/v1/files", issuer.token("acme"), json=FILE)) == (503, "FILES_001")
        admin = issuer.token("acme", roles=["admin"])
        assert code(server.post("/api/v1/files/keys", admin, json={"name": "x"})) == (404, "FILES_005")
