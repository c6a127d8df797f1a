"""Every cause named: what people get wrong about a provider, through the command that they run, with what it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli.main import main
from service.auth.providers import fetch
from service.auth.providers.presets import PRESETS
from tests.infra.misconfigured.table import ROWS
from tests.infra.misconfigured.world import RIGHT, Row, World
from tests.support.api.environments import DEVELOPMENT
from tests.support.idp.op import ScriptedProvider
from tests.support.saml.metadata import MetadataHost

_LEAST = 41


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


@pytest.fixture(scope="module")
def metadata() -> Iterator[MetadataHost]:
    with MetadataHost() as running:
        yield running


def check(world: World) -> Result:
    arguments = ["auth", "check", *(["p"] if world.token is None else [])]
    return CliRunner().invoke(main, arguments, env={**DEVELOPMENT, **world.variables()}, input=world.token)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.wrong}")
def test_the_cause_and_the_remedy_are_named(
    row: Row, provider: ScriptedProvider, metadata: MetadataHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(row.kind, provider, metadata, tmp_path)
    changed = row.change(world)
    if "firewall" in row.wrong:
        monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with changed if isinstance(changed, AbstractContextManager) else nullcontext():
        result = check(world)
    told = " ".join(result.stderr.split())
    assert result.exit_code == 1, result.output
    for words in (re.escape(row.code), row.cause, row.remedy):
        assert re.search(words, told, re.IGNORECASE), f"{words!r} in {told!r}"
    assert "Traceback" not in result.output
    assert world.token is None or len(world.token) < 40 or world.token not in result.output


@pytest.mark.parametrize("kind", RIGHT)
def test_set_up_right_there_is_nothing_to_tell(
    kind: str, provider: ScriptedProvider, metadata: MetadataHost, tmp_path: Path
) -> None:
    """Or a row would be told for another reason than its own."""
    world = World(kind, provider, metadata, tmp_path)
    assert check(world).exit_code == 0, check(world).output
    if kind != "saml":
        world.sends()
        assert check(world).exit_code == 0, check(world).output


def test_every_preset_has_rows_and_each_row_is_one_of_its_own() -> None:
    rows = Counter(row.kind for row in ROWS)
    assert {kind for kind, count in rows.items() if count >= 5} == {*PRESETS, "saml"}
    assert len({(row.kind, row.wrong) for row in ROWS}) == len(ROWS) >= _LEAST
