"""What is rendered means the same to everything that reads it; what could not is refused before it is written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import dotenv as python_dotenv
import pytest
from pydantic import SecretStr

from infra.environment.build import EnvironmentRefused, Variable, build
from infra.environment.dotenv import dotenv, dotenv_lines, flat_json
from infra.environment.guard import refuse_misread
from infra.environment.table import Inputs
from infra.shell.tools import ensure_tools, search_path
from infra.stage.chosen import stage
from infra.stage.outputs import OutputsError, read
from infra.stage.record import ConfigurationError
from tests.support.api.server import ROOT
from tests.support.cloud.given import API_GIVEN, OUTPUT_VALUES, a_project, outputs_document


def by_sh(file: Path) -> dict[str, str]:
    """As ``set -a; . ./file`` does it; whatever the shell would run, it runs."""
    text = 'set -a; . "$1"; exec env -0'
    done = subprocess.run(
        ["sh", "-c", text, "sh", str(file)], env={"PATH": os.defpath}, cwd=file.parent, capture_output=True, check=True
    )
    found = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if "=" in line)
    return {name: value for name, value in found.items() if name not in ("PATH", "PWD", "OLDPWD", "SHLVL", "_")}


def _by_node(file: Path, parse: str) -> dict[str, str]:
    script = f"process.stdout.write(JSON.stringify({parse}(require('fs').readFileSync(process.argv[1], 'utf8'))))"
    done = subprocess.run(
        ["node", "-e", script, str(file)], env={"PATH": search_path(ROOT)}, cwd=ROOT, capture_output=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def by_npm_dotenv(file: Path) -> dict[str, str]:
    ensure_tools(ROOT)
    return _by_node(file, "require('dotenv').parse")


def by_node(file: Path) -> dict[str, str]:
    return _by_node(file, "require('util').parseEnv")


def by_python_dotenv(file: Path) -> dict[str, str | None]:
    return python_dotenv.dotenv_values(file)


READERS: Final[tuple[Callable[[Path], object], ...]] = (by_sh, by_npm_dotenv, by_node, by_python_dotenv)
# Each by itself would be changed, run or cut off by some reader if it stood there bare or in double quotes.
READ: Final = (
    *("plain", "two words", " blanks around ", "a#b", "a # b", "#", "=", "a=b", "-n", "~", "~/x", "*", "!x", "%x"),
    *("$HOME", "$(touch ran)", "`touch ran`", "$$", "$x", "a;touch ran", "x&touch ran", "a|b", "<a>", "(a)"),
    *('"', 'a"b', '"quoted"', '["realm","tenant"]', '{"a": "b"}', "é", "日本", "emoji 🙂", "72f9=acme,x=y"),
    "postgresql://app@db.example.com:5433/d?sslmode=verify-full",
)
REFUSED: Final = (
    *("'", "it's", "a\\b", "a\\nb", "end\\", "${HOME}", "${{api.TOKEN}}", "${{ secret(9) }}", "a\nB=c", "a\r", "a\tb"),
    *("nul\0", "\u2028", "\u202e", "\ufeffx", "\x1b[2J"),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_every_reader_reads_what_was_written(reader: Callable[[Path], object], tmp_path: Path) -> None:
    written = {f"V{n}": value for n, value in enumerate(READ)}
    file = tmp_path / "railway.env"
    file.write_text(dotenv_lines(written), encoding="utf-8")
    assert reader(file) == written
    assert [path.name for path in tmp_path.iterdir()] == ["railway.env"], "nothing of a value was run"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_every_reader_gets_the_environment_of_a_stage(reader: Callable[[Path], object], tmp_path: Path) -> None:
    variables = a_project("production", secret=None).services[0].variables
    file = tmp_path / "railway.env"
    file.write_text(dotenv(variables), encoding="utf-8")
    assert reader(file) == json.loads(flat_json(variables)), "and the raw editor, which takes JSON"


@pytest.mark.parametrize("value", REFUSED, ids=ascii)
def test_what_readers_would_not_agree_about_is_refused_at_every_way_in(value: str) -> None:
    with pytest.raises(OutputsError, match="unusable output BucketName") as by_output:
        read(outputs_document("staging", BucketName=value), "staging")
    with pytest.raises(EnvironmentRefused, match=r"S3_BUCKET_NAME") as by_build:
        build(Inputs(stage("staging"), {**OUTPUT_VALUES, "BucketName": value}, given=API_GIVEN))
    with pytest.raises(ConfigurationError, match=r"IDP__OKTA__AUDIENCE") as by_stage:
        stage(
            "staging",
            variables={
                "IDP__OKTA__KIND": "okta",
                "IDP__OKTA__ISSUER": "https://acme.okta.com",
                "IDP__OKTA__AUDIENCE": value,
            },
        )
    for refused in (by_output, by_build, by_stage):
        assert len(value) < 4 or value not in str(refused.value)


@pytest.mark.parametrize("value", READ, ids=ascii)
def test_what_they_agree_about_is_not_refused(value: str) -> None:
    assert read(outputs_document("staging", BucketName=value), "staging")["BucketName"] == value
    refuse_misread([Variable("X", "", "", False, value=value)], EnvironmentRefused)


@pytest.mark.parametrize(("value", "told"), [("a${{api.X}}b", "Railway would fill in"), ("a\0b", "NUL")])
def test_a_sealed_value_arrives_as_it_is_or_not_at_all(value: str, told: str) -> None:
    sealed = Variable("TS_AUTHKEY", "", "", False, True, secret=SecretStr(value))
    with pytest.raises(EnvironmentRefused, match=told) as refused:
        refuse_misread([sealed], EnvironmentRefused)
    assert "api.X" not in str(refused.value)
    fine = 'it\'s "a" $(pair)\nof lines: `é` \\ ${HOME}'
    refuse_misread([Variable("KEY", "", "", False, True, secret=SecretStr(fine))], EnvironmentRefused)
