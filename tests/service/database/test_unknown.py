"""A write whose commit got no answer: it is not called refused, and nobody is told to repeat it."""

from __future__ import annotations

import pytest

from tests.support.api.server import Server
from tests.support.database.cut import LosesCommits
from tests.support.database.databases import Databases
from tests.support.idp.issuer import Issuer


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_lost_answer_to_a_commit_is_told_as_unknown(databases: Databases, issuer: Issuer, method: str) -> None:
    database = databases.migrated()
    with LosesCommits(database.server.port) as way:
        url = database.url().replace(f":{database.server.port}/", f":{way.port}/")
        with Server({**issuer.environment(), "DATABASE_URL": url}, "tests.support.api.serve") as server:
            token = issuer.token("acme")
            assert server.get("/api/v1/notes", token).status_code == 200
            way.armed = True
            answer = server.request(method, "/api/v1/notes", token, json={"body": "once"} if method == "POST" else None)
            way.armed = False
            assert way.lost == 1
            assert answer.status_code == 503
            if method == "POST":
                assert answer.json()["error"]["code"] == "SYS_010"
                assert "Retry-After" not in answer.headers
                assert [event["message"] for event in server.events()].count("database_outcome_unknown") == 1
            else:  # a read changed nothing, and may be repeated
                assert answer.json()["error"]["code"] == "SYS_002"
                assert answer.headers["Retry-After"].isdigit()
            stored = database.as_superuser("select count(*) from app.note")[0][0]
            assert stored == (1 if method == "POST" else 0), "the change is there: repeating it would store it twice"
            assert server.get("/api/v1/notes", token).status_code == 200
