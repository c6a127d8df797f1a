"""The client against Railway's schema executed over HTTP: tokens, limits, failures, and what is never repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from graphql import parse, validate
from pydantic import SecretStr

from infra.railway import operations
from infra.railway.api import ENDPOINT, Client, Operation, OutcomeUnknownError, RailwayError, Token, endpoint, token
from infra.railway.operations import Railway
from tests.support.cloud.railway import ACCOUNT_TOKEN, PROJECT_TOKEN, WORKSPACE, FakeRailway, schema

OPERATIONS = [value for value in vars(operations).values() if isinstance(value, Operation)]


@pytest.fixture
def client(fake: FakeRailway) -> Iterator[Client]:
    """Through the network."""
    with fake.client() as found:
        yield found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_an_operation_is_valid_in_railways_schema(operation: Operation) -> None:
    document = parse(operation.document)
    assert [e.message for e in validate(schema(), document)] == []
    kind = document.definitions[0].operation.value  # type: ignore[attr-defined]
    assert operation.name == document.definitions[0].name.value  # type: ignore[attr-defined]
    assert operation.repeatable or kind == "mutation"


def create(railway: Railway, name: str = "signalbox-test") -> str:
    made = railway.call(
        operations.PROJECT_CREATE,
        input={"name": name, "workspaceId": WORKSPACE, "defaultEnvironmentName": "test"},
    )
    return str(made["projectCreate"]["id"])


def test_each_kind_of_token_goes_into_its_own_header(fake: FakeRailway, railway: Railway) -> None:
    fake.project_token_for = fake.projects[create(railway)]
    with Client(Token(SecretStr(PROJECT_TOKEN), project=True), fake.url) as client:
        assert Railway(client).token_project() == (fake.project_token_for.id, fake.project_token_for.environment_id)
        with pytest.raises(RailwayError, match="RAILWAY_API_TOKEN"):
            create(Railway(client), "another")
    for wrong in (Token(SecretStr(PROJECT_TOKEN)), Token(SecretStr(ACCOUNT_TOKEN), project=True)):
        with Client(wrong, fake.url) as client, pytest.raises(RailwayError, match="Not Authorized"):
            Railway(client).workspaces()


def test_the_names_of_railways_command_line_say_the_kind() -> None:
    assert token({"RAILWAY_API_TOKEN": "a", "RAILWAY_TOKEN": "b"}) == Token(SecretStr("a"))
    assert token({"RAILWAY_TOKEN": "b"}) == Token(SecretStr("b"), project=True)
    with pytest.raises(RailwayError, match=r"https://railway\.com/account/tokens"):
        token({})
    with pytest.raises(RailwayError, match="no token"):
        token({"RAILWAY_API_TOKEN": "a\nb"})
    assert "account-token" not in repr(Token(SecretStr(ACCOUNT_TOKEN)))


def test_a_token_goes_to_railway_or_to_this_machine() -> None:
    assert endpoint({}) == ENDPOINT
    assert endpoint({"SIGNALBOX_RAILWAY_URL": "http://127.0.0.1:1/x"}) == "http://127.0.0.1:1/x"
    for elsewhere in ("https://evil.example", "http://evil.example", "http://127.0.0.1@evil.example/"):
        with pytest.raises(RailwayError, match="this machine"):
            endpoint({"SIGNALBOX_RAILWAY_URL": elsewhere})


@pytest.mark.parametrize("how", ["500", "drop", "429"])
def test_a_query_is_asked_again(fake: FakeRailway, railway: Railway, how: str) -> None:
    fake.fail("tokenWorkspaces", "before", how, times=3)  # type: ignore[arg-type]
    assert railway.workspaces() == {WORKSPACE: "Example"}
    assert len(fake.requests) == 4


def test_patience_ends(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("tokenWorkspaces", "before", "500", times=99)
    with pytest.raises(RailwayError, match="5 attempts"):
        railway.workspaces()
    assert len(fake.requests) == 5


@pytest.mark.parametrize("how", ["500", "drop", "garbage"])
def test_a_creation_whose_answer_was_lost_is_not_repeated(fake: FakeRailway, railway: Railway, how: str) -> None:
    fake.fail("projectCreate", "after", how)  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknownError, match="looks before it acts"):
        create(railway)
    assert fake.mutations["projectCreate"] == 1


def test_a_creation_that_the_limit_refused_is_tried_again(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("projectCreate", "before", "429")
    create(railway)
    assert fake.mutations["projectCreate"] == 1


def test_the_limit_is_waited_for_as_long_as_railway_asks() -> None:
    with FakeRailway(per_second=3) as fake, Client(Token(SecretStr(ACCOUNT_TOKEN)), fake.url) as client:
        started = time.monotonic()
        for _ in range(5):
            Railway(client).workspaces()
        assert fake.limited >= 1
        assert time.monotonic() - started >= 1.0


def test_a_limit_that_lasts_an_hour_is_told_and_not_waited_for(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("tokenWorkspaces", "before", "429", retry_after="3600")
    with pytest.raises(RailwayError, match="3600 s"):
        railway.workspaces()
    assert len(fake.requests) == 1


def test_a_server_that_is_not_there_is_told(fake: FakeRailway) -> None:
    waits: list[float] = []
    nobody = Client(Token(SecretStr(ACCOUNT_TOKEN)), "http://127.0.0.1:9/", sleep=waits.append)
    with nobody, pytest.raises(RailwayError, match="could not be reached"):
        Railway(nobody).workspaces()
    assert waits == [1, 2, 4, 8]


def test_what_was_sent_is_never_in_a_message(fake: FakeRailway, railway: Railway) -> None:
    """GraphQL quotes the input it does not like, and the input holds the secret."""
    secret = 'super "secret" value'
    project = fake.projects[create(railway)]
    bad = {"services": {"x": {"variables": {"KEY": {"value": secret, "isSeald": True}}}}}
    with pytest.raises(RailwayError) as refused:
        railway.call(operations.PATCH, environmentId=project.environment_id, patch=bad)
    assert "super" not in str(refused.value)
    assert "isSeald" in str(refused.value)


def test_a_redirect_is_not_followed(fake: FakeRailway, railway: Railway) -> None:
    fake.fail("tokenWorkspaces", "before", "307")  # type: ignore[arg-type]
    with pytest.raises(RailwayError, match="HTTP 307"):
        railway.workspaces()


def test_every_page_is_read(fake: FakeRailway, railway: Railway) -> None:
    ids = [create(railway, f"project-{n}") for n in range(20)]
    assert railway.projects(WORKSPACE) == [(f"project-{n}", found) for n, found in enumerate(ids)]


@pytest.mark.parametrize("baa", [True, False])
def test_the_agreement_of_the_workspace_is_read(baa: bool, client: Client, fake: FakeRailway) -> None:
    fake.baa = baa
    assert Railway(client).has_baa(WORKSPACE) is baa
