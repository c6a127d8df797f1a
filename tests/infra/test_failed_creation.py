"""A deployment that failed can be repeated: every resource of every stack of every stage fails once, in two ways."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra.aws.stacks.base import StageStack
from infra.deploy.account import PARTS, AwsError, survey
from infra.deploy.moved import MovedError
from infra.deploy.removers import REMOVERS
from infra.deploy.stacks import deploy, destroy
from infra.product import STAGES
from infra.shell.failure import Failure
from infra.stage.outputs import OUTPUTS, stack_name
from infra.stage.stateful import STATEFUL
from tests.infra.conftest import Synthesized
from tests.support.cloud.formation import Cloud, Template, ordered

_ROOT = Path("/nowhere")
_HOW = ("refused", "half")
_ORDERS: dict[int, dict[str, list[str]]] = {}


class Life:
    """A stage in an account of its own, deployed as the command does it."""

    def __init__(self, stage: str, templates: Mapping[str, Template], folder: Path, *, all_new: bool = False) -> None:
        self.stage, self.templates, self.all_new = STAGES[stage], templates, all_new
        self.options: tuple[str, ...] = ()
        self.lose = list[str]()
        self.outputs, self.told, self.cloud = folder / "outputs.json", list[str](), Cloud(_ORDERS)

    def synth(self, root: Path, stage: Any, folder: Path, *options: str) -> Mapping[str, Template]:
        self.options = options
        return self.templates

    def cdk(self, root: Path, stage: Any, step: str, *options: str, log: Path) -> None:
        self.cloud.cdk(self.templates, self.stage, (*self.options, *options), self.all_new)
        self.outputs.with_suffix(".new").touch()

    def deploy(self) -> None:
        account, told = self.cloud, self.told.append
        deploy(
            _ROOT, self.stage, self.outputs, account=account, lose=self.lose, cdk=self.cdk, synth=self.synth, told=told
        )

    def fail_at(self, part: str, logical: str, how: str) -> None:
        where = (stack_name(self.stage.name, part), logical)  # type: ignore[arg-type]
        self.cloud.fail = lambda stack, name: how if (stack, name) == where else None

    def recover(self) -> None:
        self.cloud.fail = lambda stack, name: None

    def whole(self) -> bool:
        found = survey(self.cloud, self.stage)
        return all((one.state, one.protected) == ("stands", self.stage.retain) for one in found)


def _failures(templates: Mapping[str, Template]) -> list[tuple[str, str]]:
    return [(part, logical) for part in PARTS for logical in ordered(templates[part])]


@pytest.mark.parametrize("name", STAGES)
def test_after_each_failure_the_next_deployment_succeeds(
    name: str, stages: Mapping[str, Synthesized], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    templates = stages[name].templates
    count = 0
    for part, logical in _failures(templates):
        for how in _HOW:
            life = Life(name, templates, tmp_path)
            life.fail_at(part, logical, how)
            with pytest.raises(Failure, match=f"{logical}: "):
                life.deploy()
            assert not life.cloud.stacks[stack_name(name, part)].protected, part  # type: ignore[arg-type]
            life.recover()
            life.deploy()
            assert life.whole(), (part, logical, how)
            assert len(life.told) == 1, life.told
            assert life.told[0].startswith(f"{stack_name(name, part)} failed its creation")  # type: ignore[arg-type]
            count += 1
    record_property("failures each followed by a success", count)
    assert count == sum(2 * len(template["Resources"]) for template in templates.values()) > 100


def test_the_model_shows_why_protection_has_to_come_last(stages: Mapping[str, Synthesized], tmp_path: Path) -> None:
    """As it was: protected before it stood, and kept at every rollback. The command line alone does not get through."""
    templates = stages["production"].templates
    for spoil in (True, False):
        life = Life("production", copy.deepcopy(templates) if spoil else templates, tmp_path)
        if spoil:
            for resource in life.templates["data"]["Resources"].values():
                if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                    resource["DeletionPolicy"] = "Retain"
        life.fail_at("data", list(ordered(templates["data"]))[-1], "refused")
        for _ in range(2):
            with pytest.raises((Failure, Exception), match=r"failed|TerminationProtection"):
                life.cloud.cdk(life.templates, life.stage, (f"unprotected={'data' if spoil else ''}",), all_new=False)
            life.recover()


def test_a_stack_that_stood_is_not_touched_by_a_failed_update(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    life = Life("production", stages["production"].templates, tmp_path)
    life.deploy()
    before = dict(life.cloud.things)
    for part in PARTS:
        resources = {**life.templates[part]["Resources"], "Another": {"Type": "AWS::SNS::Topic"}}
        life.templates = {**life.templates, part: {**life.templates[part], "Resources": resources}}
        life.fail_at(part, "Another", "refused")
        with pytest.raises(Failure):
            life.deploy()
        assert life.cloud.things == before
        life.recover()
        life.deploy()
        assert life.whole()
    assert life.told == []


def test_no_stack_reads_what_was_after_a_deployment_that_broke_off(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    """Its template is as it was: without being told, the command line would leave it as it is."""
    life = Life("production", stages["production"].templates, tmp_path)
    life.deploy()
    for changed, broken in itertools.pairwise(PARTS):
        templates = life.templates
        new = {**templates[changed]["Resources"], f"Another{broken}": {"Type": "AWS::SNS::Topic"}}
        life.templates = {**templates, changed: {**templates[changed], "Resources": new}}
        life.fail_at(broken, next(iter(templates[broken]["Resources"])), "refused")
        with pytest.raises(Failure):
            life.deploy()
        life.recover()
        life.deploy()
        assert life.cloud.stale() == []


def test_a_deletion_that_failed_is_told_from_a_creation_that_failed(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    templates = stages["production"].templates
    life = Life("production", templates, tmp_path)
    life.deploy()
    stood = life.cloud.stacks[stack_name("production", "data")]
    before = dict(life.cloud.things)
    stood.turn("DELETE_FAILED")
    with pytest.raises(AwsError, match="DELETE_FAILED: it stood, so it is not removed"):
        life.deploy()
    assert life.cloud.things == before
    assert stood.protected
    # The same word, of a stack that never stood; and where its history is not whole, it may have.
    for cut in (False, True):
        life = Life("production", templates, tmp_path)
        life.cloud.fail = lambda stack, name: "half" if stack.endswith("-data") and "Policy" in name else None
        with pytest.raises(Failure):
            life.deploy()
        life.recover()
        failed = life.cloud.stacks[stack_name("production", "data")]
        failed.turn("DELETE_FAILED")
        if cut:
            del failed.events[:10]
            with pytest.raises(AwsError, match="it stood"):
                life.deploy()
        else:
            life.deploy()
            assert life.whole()


def test_what_has_the_name_before_a_creation_is_not_removed_after_it(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    """A database that another stage of life left: the creation fails for its name, and must not take it along."""
    life = Life("production", stages["production"].templates, tmp_path)
    life.deploy()
    identifier = ("AWS::RDS::DBInstance", STAGES["production"].names.whole)
    kept = life.cloud.things[identifier]
    kept.uses = ()
    again = Life("production", stages["production"].templates, tmp_path)
    again.cloud.things[identifier] = kept
    for again.cloud.rolls_back in (True, False, True):
        with pytest.raises(Failure, match="already exists"):
            again.deploy()
        assert again.cloud.things[identifier] is kept
        assert kept.protected


def test_a_stack_under_way_is_waited_for(stages: Mapping[str, Synthesized], tmp_path: Path) -> None:
    life = Life("production", stages["production"].templates, tmp_path)
    life.deploy()
    for status, told in (("UPDATE_IN_PROGRESS", "wait until"), ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback")):
        life.cloud.stacks[stack_name("production", "watch")].turn(status)
        with pytest.raises(AwsError, match=told):
            life.deploy()


def test_the_table_of_removers_covers_what_a_template_may_keep() -> None:
    assert set(REMOVERS) >= set(STATEFUL)


def test_the_app_leaves_protection_to_the_end_where_it_is_told_to() -> None:
    app = cdk.App(context={"unprotected": "data,watch"})
    made = {
        part: StageStack(app, stage=STAGES["production"], part=part, description=part).termination_protection
        for part in PARTS
    }
    assert made == {part: part not in ("data", "watch") for part in PARTS}


def test_the_end_of_a_stage_empties_what_it_made_and_can_be_repeated(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    life = Life("development", stages["development"].templates, tmp_path)
    life.deploy()
    other = Life("staging", stages["staging"].templates, tmp_path)
    other.cloud = life.cloud
    other.deploy()
    staging = {key: thing for key, thing in life.cloud.things.items() if "staging" in key[1]}
    for (kind, _), thing in life.cloud.things.items():
        if kind in ("AWS::S3::Bucket", "AWS::IAM::User") and "development" in thing.physical:
            thing.holds += 2500
    # Somebody's rule in the console: the database refuses. Then it does not.
    database = life.cloud.things["AWS::RDS::DBInstance", STAGES["development"].names.whole]
    database.protected = True
    with pytest.raises(AwsError, match="cannot be deleted"):
        destroy(_ROOT, life.stage, tmp_path, account=life.cloud)
    database.protected = False
    for _ in range(2):
        destroy(_ROOT, life.stage, tmp_path, account=life.cloud)
    assert life.cloud.things == staging
    with pytest.raises(AwsError, match="protected from termination"):
        destroy(_ROOT, other.stage, tmp_path, account=other.cloud)
    assert life.cloud.things == staging


def test_what_stood_for_longer_than_its_events_are_kept_ends_all_the_same(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    life = Life("development", stages["development"].templates, tmp_path)
    life.deploy()
    for thing in life.cloud.things.values():
        thing.holds += thing.type in ("AWS::S3::Bucket", "AWS::IAM::User")
    for stack in life.cloud.stacks.values():
        stack.events.clear()
    destroy(_ROOT, life.stage, tmp_path, account=life.cloud)
    assert life.cloud.things == {}


def _told_by(file: Path, stage: str, region: str, account: str) -> None:
    """Outputs as a deployment leaves them."""
    found: dict[str, dict[str, str]] = {}
    for output in OUTPUTS:
        found.setdefault(stack_name(stage, output.stack), {})[output.key] = f"arn:aws:kms:{region}:{account}:key/x"
    file.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("field", "stood", "said"),
    [("region", "us-east-1", "eu-central-1"), ("account", "111122223333", "999988887777")],
)
@pytest.mark.parametrize("act", ["deploy", "destroy"])
def test_a_stage_that_stands_elsewhere_than_its_record_says_is_refused(
    act: str, field: str, stood: str, said: str, stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    life = Life("development", stages["development"].templates, tmp_path)
    life.deploy()
    life.outputs = tmp_path / "cdk-outputs.json"
    _told_by(life.outputs, "development", "us-east-1", "111122223333")
    before = dict(life.cloud.things)
    life.stage = life.stage.model_copy(update={field: said})

    def step() -> None:
        if act == "deploy":
            life.deploy()
        else:
            destroy(_ROOT, life.stage, tmp_path, account=life.cloud)

    with pytest.raises(MovedError, match=f"stands in {field} {stood}, .* its record says {said}.*Put {field} back"):
        step()
    assert life.cloud.things == before
    life.stage = life.stage.model_copy(update={field: stood})
    step()


def test_a_stage_that_another_machine_deployed_elsewhere_is_found_there(
    stages: Mapping[str, Synthesized], tmp_path: Path
) -> None:
    life = Life("development", stages["development"].templates, tmp_path)
    life.deploy()
    moved = Life("development", stages["development"].templates, tmp_path / "another")
    moved.stage = moved.stage.model_copy(update={"region": "eu-central-1"})
    moved.cloud.others["us-east-1"] = life.cloud
    with pytest.raises(MovedError, match=r"stands in region us-east-1, as its stacks say.* says eu-central-1"):
        moved.deploy()
    with pytest.raises(MovedError):
        destroy(_ROOT, moved.stage, tmp_path / "another", account=moved.cloud)
    assert moved.cloud.things == {}
