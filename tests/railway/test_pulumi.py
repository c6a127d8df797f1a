"""The Pulumi program: with Pulumi's own mocks, and against the real dynamic provider process and Railway's schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from infra.environment.build import build
from infra.environment.table import Inputs
from infra.stage import tailscale as tunnel
from infra.stage.chosen import stage
from infra.stage.names import StageNames
from tests.support.cloud.given import API_GIVEN, GIVEN, OUTPUT_VALUES, outputs_document
from tests.support.cloud.pulumi_engine import Engine, run
from tests.support.cloud.railway import ACCOUNT_TOKEN, FakeRailway

NAME = StageNames("development").whole
KEY = "digest-key-of-the-test-0123456789abcdef"
_MADE = build(Inputs(stage("development"), OUTPUT_VALUES, given=API_GIVEN))
SEALED = {name: GIVEN[name] for name in (*(v.name for v in _MADE if v.sealed), *tunnel.SEALED)}


class Mocks(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.registered: list[pulumi.runtime.MockResourceArgs] = []

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        return {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.registered.append(args)
        return "id", {"project_id": "project-0001", "services": {"api": "service-0001"}, "digests": {}}


def configure(folder: Path, sealed: dict[str, str], **outputs: str) -> Callable[[], None]:
    """The program with its configuration, as ``pulumi config set`` leaves it."""
    from infra.railway.pulumi.__main__ import program

    file = folder / "cdk-outputs.json"
    file.write_text(json.dumps(outputs_document("development", **outputs)))
    values = {
        "signalbox:stage": "development",
        "signalbox:outputs": str(file),
        "signalbox:repository": "example/signalbox",
        "signalbox:sealed": json.dumps(sealed),
    }

    def configured() -> None:
        pulumi.runtime.set_all_config(values, ["signalbox:sealed"])
        program()

    return configured


def test_the_program_declares_one_stage_and_marks_what_is_sealed(tmp_path: Path) -> None:
    mocks = Mocks()
    run(mocks, configure(tmp_path, {"KEY": "a-sealed-value"}))
    (made,) = mocks.registered
    assert made.name == "railway-development"
    assert made.inputs["outputs"]["BucketName"] == "signalbox-documents-example"
    assert pulumi.runtime.rpc.is_rpc_secret(made.inputs["sealed"])
    assert "a-sealed-value" not in json.dumps(made.inputs["__provider"], default=str)


@pytest.fixture
def fake_stage(fake: FakeRailway) -> dict[str, str]:
    return {"RAILWAY_API_TOKEN": ACCOUNT_TOKEN, "SIGNALBOX_RAILWAY_URL": fake.url, "RAILWAY_DIGEST_KEY": KEY}


def test_created_same_updated(
    fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAILWAY_DIGEST_KEY", KEY)
    with Engine(fake_stage) as engine:
        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["create"]
        first = fake.mutations.copy()
        assert fake.service(NAME).variables["S3_BUCKET_NAME"].value == "signalbox-documents-example"

        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["same"]
        assert fake.mutations == first

        engine.up(configure(tmp_path, SEALED, BucketName="another-bucket"))
        assert engine.done == ["update"]
        assert fake.mutations - first == {"environmentPatchCommit": 1}
        assert fake.service(NAME).variables["S3_BUCKET_NAME"].value == "another-bucket"

        outs = json.dumps({name: found["outs"] for name, found in engine.state.items()})
        inputs = json.dumps({name: found["inputs"] for name, found in engine.state.items()})
        for secret in (ACCOUNT_TOKEN, KEY):
            assert secret not in outs + inputs, "a token in the state"
        assert not any(value in outs for value in SEALED.values()), "sealed values are digests there"
        found = engine.state["railway-development"]["outs"]
        assert found["project_id"] == fake.project(NAME).id
        assert set(found["services"]) == {s.name for s in fake.project(NAME).services.values()}


@pytest.mark.skipif(not SEALED, reason="no variable of the stage is sealed")
def test_a_changed_sealed_value_is_seen_by_its_digest(
    fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path
) -> None:
    with Engine(fake_stage) as engine:
        engine.up(configure(tmp_path, SEALED))
        before = fake.mutations.copy()
        name = next(iter(SEALED))
        engine.up(configure(tmp_path, {**SEALED, name: "another-sealed-value"}))
        assert engine.done == ["update"]
        assert fake.mutations - before == {"environmentPatchCommit": 1}


def test_without_its_key_nothing_is_changed(fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path) -> None:
    short = Engine({**fake_stage, "RAILWAY_DIGEST_KEY": "short"})
    with short, pytest.raises(Exception, match="RAILWAY_DIGEST_KEY needs 32 characters"):
        short.up(configure(tmp_path, SEALED))
    assert not fake.mutations


def test_refresh_sees_what_another_hand_has_changed(
    fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path
) -> None:
    name = "railway-development"
    with Engine(fake_stage) as engine:
        engine.up(configure(tmp_path, SEALED))
        engine.refresh(name)
        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["same"]
        fake.set_by_hand(NAME, "LOG_LEVEL", "DEBUG")
        fake.service(NAME).config["deploy"]["healthcheckPath"] = "/"
        engine.refresh(name)
        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["update"]
        assert "LOG_LEVEL" not in fake.service(NAME).variables
        assert fake.service(NAME).config["deploy"]["healthcheckPath"] != "/"


def test_a_change_of_what_is_rendered_is_seen_although_no_input_changed(
    fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path
) -> None:
    """As by a newer checkout: another record of the stage, another railway.json."""
    with Engine(fake_stage) as engine:
        engine.up(configure(tmp_path, SEALED))
        engine.state["railway-development"]["outs"]["rendered"] = "what an older checkout rendered"
        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["update"]
        engine.up(configure(tmp_path, SEALED))
        assert engine.done == ["same"]


def test_destroy_is_refused_with_the_command_that_does_it(
    fake: FakeRailway, fake_stage: dict[str, str], tmp_path: Path
) -> None:
    with Engine(fake_stage) as engine:
        engine.up(configure(tmp_path, SEALED))
        with pytest.raises(Exception, match="uv run signalbox destroy development"):
            engine.destroy("railway-development")
        assert not fake.project(NAME).deleted
