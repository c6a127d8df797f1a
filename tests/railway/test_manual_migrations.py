"""Migrations by an operator's command: what the stage says, what the service refuses, the command, and back."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from infra.deploy.migrate import MigrateError, environment, migrate
from infra.railway.apply import apply
from infra.railway.operations import Railway
from infra.railway.release import Clock, release
from infra.railway.sources import stage_project
from infra.railway.state import observe
from infra.stage.chosen import stage
from infra.stage.names import StageNames
from infra.stage.record import Stage
from tests.support.api.server import ROOT, Server, free_port
from tests.support.api.zygote import run
from tests.support.cloud.given import GIVEN, OUTPUT_VALUES
from tests.support.cloud.railway import FakeRailway
from tests.support.database.databases import MASTER, MASTER_PASSWORD, Database, Databases
from tests.support.idp.issuer import Issuer

NAME = StageNames("development").whole


def deployed(fake: FakeRailway, railway: Railway, target: Stage) -> Mapping[str, str]:
    """What a process of the stage gets."""
    project = stage_project(ROOT, target, OUTPUT_VALUES, GIVEN, "example/signalbox", "main")
    apply(railway, project)
    release(railway, observe(railway, project), "api", None, clock=Clock(sleep=lambda _: None))
    return fake.injected(NAME)


def here(found: Mapping[str, str], database: Database, issuer: Issuer) -> dict[str, str]:
    """The same where the database and the provider are this machine's, and AWS is away."""
    away = ("AWS_", "SESSION_SECRET", "TOKEN_", "DATABASE_", "IDP__", "HOST", "PORT", "PUBLIC_URL")
    kept = {name: value for name, value in found.items() if not name.startswith(away)}
    return {**kept, **issuer.environment(), "DATABASE_URL": database.url(MASTER, MASTER_PASSWORD)} | {
        "PUBLIC_URL": "http://127.0.0.1:8000"
    }


def test_migrations_by_hand_and_back(
    fake: FakeRailway, railway: Railway, databases: Databases, issuer: Issuer, capfd: pytest.CaptureFixture[str]
) -> None:
    by_hand = stage("development", migrations="manual")
    injected = deployed(fake, railway, by_hand)
    assert "preDeployCommand" not in fake.service(NAME).config["deploy"]
    database = databases.empty()
    env = here(injected, database, issuer)
    refused = run(["service"], {"PATH": "/usr/bin:/bin", "HOST": "127.0.0.1", "PORT": str(free_port()), **env})
    assert refused.returncode == 1
    assert "python -m migrations upgrade" in refused.stdout + refused.stderr

    operator = {"PATH": "/usr/bin:/bin"}
    migrate(ROOT, operator | here(environment(by_hand, OUTPUT_VALUES, operator), database, issuer))
    with Server(env) as server:
        assert server.until_ready().status_code == 200

    injected = deployed(fake, railway, stage("development"))
    assert fake.service(NAME).config["deploy"]["preDeployCommand"] == ["python -m migrations upgrade"]
    with Server(here(injected, databases.empty(), issuer)) as server:
        assert server.until_ready().status_code == 200, "an empty database is migrated at start again"
    capfd.readouterr()


def test_an_operator_proves_who_they_are_and_reaches_the_database_their_own_way() -> None:
    operator = {"PATH": "/bin", "AWS_PROFILE": "mine", "DATABASE_URL": "postgresql://elsewhere/x", "LOG_LEVEL": "DEBUG"}
    target = stage("production", migrations="manual")
    found = environment(target, OUTPUT_VALUES, operator)
    assert (found["PATH"], found["AWS_PROFILE"]) == ("/bin", "mine")
    assert "elsewhere" not in found["DATABASE_URL"]
    assert found["DATABASE_MIGRATION_SECRET_ID"] == OUTPUT_VALUES["DatabaseMasterSecretArn"]
    assert not [n for n in found if n.startswith("ROLES_ANYWHERE_") or n in ("DATABASE_PROXY", "LOG_LEVEL")]
    through = environment(target, OUTPUT_VALUES, operator, "socks5://127.0.0.1:1055")
    assert through["DATABASE_PROXY"] == "socks5://127.0.0.1:1055"


def test_a_database_that_is_out_of_reach_is_said_with_the_next_step(
    issuer: Issuer, databases: Databases, capfd: pytest.CaptureFixture[str]
) -> None:
    env = here({}, databases.empty(), issuer) | {"PATH": "/usr/bin:/bin", "ENVIRONMENT": "development"}
    with pytest.raises(MigrateError, match="accepted routes, or give --proxy"):
        migrate(ROOT, env | {"DATABASE_URL": f"postgresql://x@127.0.0.1:{free_port()}/x?sslmode=disable"})
    capfd.readouterr()
