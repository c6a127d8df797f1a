"""`signalbox init` changes what it is told in the adopter's two files, and not a letter beside it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import init as command
from infra.cli.main import main
from infra.deploy.init import INFRA_FILE, SERVICE_FILE, InitError, Product, Wanted, keep_on_merge
from infra.shell.failure import Failure
from infra.stage.names import StageNames, title
from infra.stage.record import Stage
from tests.support.api.server import ROOT

SERVICE = '''"""The adopter's."""

from typing import Final

NAME: Final = "signalbox"  # a comment
TITLE: Final = "Signalbox"
FEATURES = ("notes", "signalbox")  # of the adopter's own
'''
INFRA = '''"""Ünïcödé before everything: offsets are in bytes."""

from infra.stage.parts import Database, Network, Watch
from infra.stage.record import Stage

REGION = "us-east-1"
OWN = {"name": "production"}  # of the adopter's own
_DATABASE = Database(instance_type="t4g.micro", deletion_protection=True, multi_az=True, backup_days=35)
STAGES = {
    record.name: record
    for record in (
        Stage(
            name="local", region=REGION, environment="development", public_url="http://127.0.0.1:8000",
            allowed_origins=("http://localhost:3000",), database=_DATABASE, access="user",
        ),
        Stage(
            name="staging", region="eu-west-1", environment="staging", public_url="https://api.staging.example.com",
            allowed_origins=("https://app.staging.example.com", "https://old.example.com"), database=_DATABASE,
            domain_prefix="of-our-own",
        ),
        Stage(
            name="production", region=REGION, environment="production", public_url="https://api.example.com",
            allowed_origins=("https://app.example.com",), database=_DATABASE, cognito_plan="PLUS",
            watch=Watch(email="security@example.com", trail=True),
        ),
    )
}
'''
EVERYTHING = Wanted(
    name="acme-care",
    title="Acme & Söhne",
    region="eu-central-1",
    domain="acme.health",
    stages={"production": "prod"},
    apis={"staging": "https://api.test.acme.health"},
    front_ends={"prod": ("https://a.acme.health", "https://b.acme.health")},
    emails={"production": "on-call@acme.health"},
)
OPTIONS = ["--name", "acme-care", "--region", "eu-central-1", "--stage", "production=prod"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for file, text in ((SERVICE_FILE, SERVICE), (INFRA_FILE, INFRA)):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text)
    return tmp_path


def records(root: Path) -> Mapping[str, Stage]:
    made: dict[str, Any] = {}
    exec(compile((root / INFRA_FILE).read_text(), "product.py", "exec"), made)  # noqa: S102  as an import does
    return made["STAGES"]  # type: ignore[no-any-return]


def product(root: Path) -> Product:
    return Product(root, records(root))


def apply(root: Path, wanted: Wanted) -> dict[Path, str]:
    found = product(root)
    texts = found.changed(wanted)
    found.write(texts)
    return texts


def test_everything_that_is_said_is_changed_and_nothing_else(checkout: Path) -> None:
    assert set(apply(checkout, EVERYTHING)) == {SERVICE_FILE, INFRA_FILE}
    told = (checkout / SERVICE_FILE).read_text()
    assert told == SERVICE.replace('= "signalbox"', '= "acme-care"').replace('"Signalbox"', '"Acme & Söhne"')
    expected = INFRA
    for old, new in (
        ('REGION = "us-east-1"', 'REGION = "eu-central-1"'),
        ('name="production"', 'name="prod"'),
        ("api.staging.example.com", "api.test.acme.health"),
        ('("https://app.example.com",)', '("https://a.acme.health", "https://b.acme.health")'),
        ("security@example.com", "on-call@acme.health"),
        ("example.com", "acme.health"),
    ):
        expected = expected.replace(old, new)
    assert (checkout / INFRA_FILE).read_text() == expected
    assert records(checkout)["staging"].region == "eu-west-1", "a region of its own stays"


def test_a_second_run_with_the_same_words_changes_nothing(checkout: Path) -> None:
    apply(checkout, EVERYTHING)
    assert apply(checkout, EVERYTHING) == {}


def test_what_is_not_said_stays(checkout: Path) -> None:
    assert product(checkout).changed(Wanted()) == {}
    assert list(product(checkout).changed(Wanted(title="Other"))) == [SERVICE_FILE]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(name="Acme"), "NAME of service/product.py must be 2 to 20 lower-case letters"),
        (Wanted(name="a" * 21), "2 to 20 lower-case letters"),
        (Wanted(name="acme--care"), "single dashes"),
        (Wanted(name="pg-care"), "must not begin with pg"),
        (Wanted(name="lawsuit"), "nor contain aws"),
        (Wanted(title="x" * 41), "TITLE of service/product.py must be 1 to 40"),
        (Wanted(title='A "quoted" one'), "without quotes"),
        (Wanted(region="xx-north-1"), "region must be one of"),
        (Wanted(domain="acme health"), "public_url must be an origin"),
        (Wanted(apis={"production": "http://api.acme.health"}), "addresses must be https"),
        (Wanted(front_ends={"production": ("https://app.acme.health/path",)}), "allowed_origins"),
        (Wanted(emails={"production": "nobody"}), "email must be an e-mail address"),
        (Wanted(emails={"staging": "a@acme.health"}), "tells nobody yet"),
        (
            Wanted(stages={"production": "Prod"}),
            "^Stage production: name must be 2 to 20 lower-case letters and digits, a letter first$",
        ),
        (Wanted(stages={"production": "p" * 21}), "Stage production: name"),
        (Wanted(stages={"production": "staging"}), "one name"),
        (Wanted(stages={"local": "here"}), "local keeps its name"),
        (
            Wanted(stages={"nowhere": "here"}),
            "^There is no stage 'nowhere': the stages are local, staging, production$",
        ),
        (
            Wanted(apis={"nowhere": "https://a.example"}),
            "^There is no stage 'nowhere': the stages are local, staging, production$",
        ),
    ],
)
def test_what_must_not_be_is_one_message_and_writes_nothing(checkout: Path, wanted: Wanted, said: str) -> None:
    with pytest.raises(InitError, match=said) as refused:
        apply(checkout, wanted)
    assert "\n" not in str(refused.value)
    assert ((checkout / SERVICE_FILE).read_text(), (checkout / INFRA_FILE).read_text()) == (SERVICE, INFRA)


def test_no_text_ends_before_its_quote(checkout: Path) -> None:
    apply(checkout, Wanted(emails={"production": '"),__import__("os")#\\@acme.health'}))
    tree = ast.parse((checkout / INFRA_FILE).read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__import__"]
    assert records(checkout)["production"].watch.email == '"),__import__("os")#\\@acme.health'


def test_a_value_that_is_no_text_is_named_with_its_line(checkout: Path) -> None:
    path = checkout / SERVICE_FILE
    path.write_text(SERVICE.replace('= "Signalbox"', "= NAME.title()"))
    with pytest.raises(Failure, match=r"service/product.py, line 6: TITLE is not written as a text"):
        product(checkout)


def test_the_command_shows_then_writes_and_tells_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*options: str) -> str:
        monkeypatch.setattr("infra.product.STAGES", records(checkout))
        done = CliRunner().invoke(main, ["init", *options])
        assert done.exit_code == 0, done.output
        return done.output

    monkeypatch.setattr(command, "ROOT", checkout)
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    driver = ["git", "-C", str(checkout), "config", "merge.product.driver"]
    shown = run(*OPTIONS, "--dry-run")
    assert '+NAME: Final = "acme-care"  # a comment' in shown
    assert (checkout / INFRA_FILE).read_text() == INFRA
    assert subprocess.run(driver, check=False).returncode == 1
    assert "+REGION" in run(*OPTIONS)
    assert "prod" in records(checkout)
    assert subprocess.check_output(driver, text=True) == "true\n"
    assert "so already" in run(*OPTIONS)


def test_without_options_it_asks(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", checkout)
    monkeypatch.setattr("infra.product.STAGES", records(checkout))
    answers = ["Acme!", "acme", "Acme", "eu-west-2", "acme.health", "Staging", "", "", ""]
    answers += ["prod", "api.acme.health", "https://api.of-prod.acme.health", "https://a.acme.health", "me@acme.health"]
    done = CliRunner().invoke(main, ["init"], input="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    for refused in ("NAME of", "Stage staging: name must", "Stage production: public_url must be an origin"):
        assert done.output.count(f"Error: {refused}") == 1, "asked again, and the answers before it are kept"
    made = records(checkout)
    assert made["prod"].public_url == "https://api.of-prod.acme.health"
    assert made["staging"].public_url == "https://api.staging.acme.health"
    assert made["prod"].watch.email == "me@acme.health"


def test_git_is_told_nothing_outside_a_checkout(tmp_path: Path) -> None:
    assert not keep_on_merge(tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "inner").mkdir()
    assert not keep_on_merge(tmp_path / "inner"), "a checkout around it is somebody else's"


def test_the_longest_names_fit_into_everything_that_is_named() -> None:
    names = StageNames("s" * 20, "p" * 20)
    assert len(names.whole) == 41
    with pytest.raises(ValueError, match="at most"):
        StageNames("s" * 60, "p" * 20)
    with pytest.raises(ValueError, match="TITLE"):
        title("")


def test_the_files_of_this_checkout_can_be_changed() -> None:
    from tests.support.cloud.product import ADOPTED

    found = Product(ROOT, ADOPTED)
    assert list(found.changed(Wanted(title="Another"))) == [SERVICE_FILE]
    assert found.changed(Wanted()) == {}


@pytest.mark.parametrize(
    ("file", "name", "said"),
    [
        (INFRA_FILE, r"(?<=\bname=)\".*?\"", r"infra/product.py, line \d+: Stage: name must be 2 to 20 lower-case"),
        (SERVICE_FILE, r"(?<=^NAME: Final = )\".*?\"", r"NAME of service/product.py must be 2 to 20 lower-case"),
    ],
)
def test_a_file_of_the_adopters_that_is_refused_is_one_sentence(
    tmp_path: Path, file: Path, name: str, said: str
) -> None:
    for folder in ("infra", "service"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    text, changed = re.subn(name, '"No name"', (tmp_path / file).read_text(), count=1, flags=re.MULTILINE)
    assert changed
    (tmp_path / file).write_text(text)
    command = [sys.executable, "-m", "infra.cli.main", "due", "production"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert re.match(f"Error: {said}", done.stderr)
