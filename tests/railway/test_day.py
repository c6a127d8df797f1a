"""A day of two people and CI on one stage: no lost value, no needless deployment, no leftover."""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace

import pytest

from infra.railway.apply import apply
from infra.railway.operations import Railway
from infra.railway.project import Project
from infra.railway.release import Clock, release
from infra.railway.state import observe
from tests.railway.test_changes import CHANGES, NAME, fresh, project, seen
from tests.support.cloud.railway import FakeRailway

WISHES = tuple(name for name in CHANGES if name not in ("railway's domain", "as it was"))
BY_HAND = {"FEATURE_FLAG": "on", "LOG_LEVEL": "DEBUG", "IDP__OTHER__ISSUER": "https://x", "AWS_REGION": "eu-west-1"}


def without_values(made: Project) -> Project:
    """As a person has it who was given no sealed value."""
    services = (
        replace(s, variables=tuple(replace(v, secret=None) if v.sealed else v for v in s.variables))
        for s in made.services
    )
    return replace(made, services=tuple(services))


class Day:
    """What is wished for, what people have put beside it, and whether anything has changed since the last release."""

    def __init__(self, fake: FakeRailway, railway: Railway, seed: int) -> None:
        self.fake, self.railway, self.dice = fake, railway, random.Random(seed)  # noqa: S311  the same day each time
        self.wish: tuple[str, ...] = ()
        self.beside: dict[str, str] = {}
        self.changed = True

    def wishes(self) -> None:
        self.wish = tuple(sorted(self.dice.sample(WISHES, self.dice.randint(0, 2))))
        if {"a provider", "settings"} <= set(self.wish):  # one field of the record: the later one would win
            self.wish = self.wish[:1]
        self.changed = True

    def by_hand(self) -> None:
        name = self.dice.choice(tuple(BY_HAND))
        self.fake.set_by_hand(NAME, name, BY_HAND[name])
        if name == "FEATURE_FLAG":
            self.beside[name] = BY_HAND[name]
        else:
            self.changed = True

    def a_setting(self) -> None:
        self.fake.service(NAME).config.setdefault("deploy", {})["healthcheckPath"] = "/elsewhere"
        self.changed = True

    def a_seal(self) -> None:
        sealed = [name for name, v in self.fake.service(NAME).variables.items() if v.sealed]
        self.fake.set_by_hand(NAME, self.dice.choice(sealed), "theirs", sealed=True)
        self.changed = True

    def deploys(self, *, has_values: bool) -> None:
        made = project(*self.wish)
        asked = made if has_values else without_values(made)
        before = self.deployments()
        known = set(self.fake.service(NAME).variables) | set(self.tunnel())
        needed = {v.name for s in made.services for v in s.variables if v.sealed}
        if not has_values and not needed <= known:
            return  # told to give it, and nothing is changed: tests/railway/test_apply.py
        apply(self.railway, asked)
        state = observe(self.railway, asked)
        for service in reversed(asked.services):
            release(self.railway, state, service.name, None, clock=Clock(sleep=lambda _: None))
        after = self.deployments()
        assert self.changed or before == after, "deployed although nothing had changed"
        self.changed = False
        self.is_as_wished(sealed=has_values)

    def deployments(self) -> int:
        return sum(len(s.deployments) for s in self.fake.project(NAME).services.values())

    def tunnel(self) -> dict[str, object]:
        found = [s for s in self.fake.project(NAME).services.values() if s.name == "tailscale"]
        return dict(found[0].variables) if found else {}

    def is_as_wished(self, *, sealed: bool) -> None:
        there, wanted = deepcopy(seen(self.fake)), deepcopy(fresh(*self.wish))
        for name, value in self.beside.items():
            assert there["api"]["variables"].pop(name) == (value, False), "a value of another person was lost"
        if not sealed:
            for found in (*there.values(), *wanted.values()):
                found["variables"] = {n: v for n, v in found["variables"].items() if not v[1]}
        assert there == wanted
        running = self.fake.injected(NAME)
        assert {n: v for n, v in running.items() if n in there["api"]["variables"]} == {
            n: v for n, (v, _) in there["api"]["variables"].items()
        }


@pytest.mark.parametrize("seed", range(2))
def test_a_day_of_two_people_and_ci(fake: FakeRailway, railway: Railway, seed: int) -> None:
    apply(railway, project())
    day = Day(fake, railway, seed)
    day.deploys(has_values=True)
    for _ in range(16):
        fake.pass_time(minutes=24)
        day.dice.choice((day.wishes, day.by_hand, day.a_setting, day.a_seal, lambda: None))()
        day.deploys(has_values=day.dice.random() < 0.7)  # ann and CI have the values, bob has none
    day.deploys(has_values=True)
    day.deploys(has_values=True)
    day.deploys(has_values=False)
