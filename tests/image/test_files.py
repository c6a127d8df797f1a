"""The files an image and a local set-up are made from, as their own tools judge them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from infra.deploy.base_images import finding, unpinned
from infra.local.compose import ENV_FILE, REQUIRED
from tests.support.api.server import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def validate_compose(*paths: Path) -> subprocess.CompletedProcess[str]:
    told_each = ("--default-filetype", "yaml", "--verbose")
    return tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *told_each, *map(str, paths))


def test_hadolint_has_nothing_to_say() -> None:
    done = tool("hadolint", "--no-color", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_every_base_image_is_named_by_its_digest() -> None:
    assert unpinned(DOCKERFILE) == []
    assert "$" not in "".join(re.findall(r"(?m)^FROM .*$", DOCKERFILE)), "Dependabot reads no ARG"
    digest = "@sha256:" + "a" * 64
    written = f"""FROM --platform=linux/amd64 python:3.13{digest} AS build
from debian:trixie-slim AS tools
COPY --chown=1:1 --from=ghcr.io/astral-sh/uv:0.13 /uv /bin/
FROM Build
COPY --from=build /a /
COPY --from=1 /a /
COPY --link --from=nginx@sha256:abc /a /
FROM scratch
"""
    assert unpinned(written) == ["debian:trixie-slim", "ghcr.io/astral-sh/uv:0.13", "nginx@sha256:abc"]


def test_doctor_names_a_base_image_without_a_digest(tmp_path: Path) -> None:
    assert finding(ROOT).state == "ok"
    assert finding(tmp_path).state == "ok"
    (tmp_path / "Dockerfile").write_text("FROM python:3.13\n")
    found = finding(tmp_path)
    assert (found.state, "python:3.13" in found.text) == ("note", True)


def test_the_image_needs_no_mount_no_shell_and_no_root() -> None:
    assert "--mount" not in re.sub(r"(?m)^#.*$", "", DOCKERFILE)
    last = DOCKERFILE.rstrip().splitlines()[-1]
    assert last == 'CMD ["python", "-m", "service"]'
    assert re.findall(r"(?m)^USER (.*)$", DOCKERFILE) == ["999:999"]


def test_the_builder_is_sent_nothing_that_is_not_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    named = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert named == {"pyproject.toml", "uv.lock", "README.md", "LICENSE", "product", "service", "migrations"}
    assert {"**/.*", "**/__pycache__"} <= set(lines[lines.index("!migrations") :])


def test_the_builder_is_sent_all_that_is_copied() -> None:
    copied = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if re.match(r"COPY (?!--from)", line)]
    assert copied
    named = (ROOT / ".dockerignore").read_text().splitlines()
    for source in (name for names in copied for name in names):
        assert (ROOT / source).exists()
        assert f"!{source}" in named


def test_the_uv_of_the_image_may_build_the_project_and_compiles_what_it_installs() -> None:
    assert shutil.which("uv")
    (version,) = re.findall(r"(?m)^FROM ghcr\.io/astral-sh/uv:(\d+\.\d+)\.\d+@", DOCKERFILE)
    upper = re.search(r'requires = \["uv_build>=0\.9,<0\.(\d+)"\]', (ROOT / "pyproject.toml").read_text())
    assert upper
    assert int(version.split(".")[1]) < int(upper[1])  # uv then builds it itself, and downloads no other version
    assert "UV_COMPILE_BYTECODE=1" in DOCKERFILE


def test_compose_is_valid() -> None:
    done = validate_compose(ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout


def test_compose_hands_the_environment_to_the_api_through_one_folder() -> None:
    services = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    given = services["emulator"]["environment"]
    assert set(REQUIRED) <= given.keys()
    assert given["POSTGRES_PASSWORD"] == services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    env_file = f"{given['API_ENV_FOLDER']}/{ENV_FILE}"
    assert services["emulator"]["healthcheck"]["test"][-1] == env_file
    assert f". {env_file} &&" in services["api"]["command"][-1]
    for name in ("emulator", "api"):
        assert any(volume.split(":")[1] == given["API_ENV_FOLDER"] for volume in services[name]["volumes"])


def test_a_word_that_compose_does_not_know_is_found(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    typos = {"depends_on": "depend_on", "healthcheck": "health_check"}
    for word, typo in typos.items():
        assert word in text
        (tmp_path / typo).write_text(text.replace(word, typo, 1))
    done = validate_compose(*(tmp_path / typo for typo in typos.values()))
    assert done.returncode == 1
    for typo in typos.values():
        assert re.search(rf"/{typo}::.*'{typo}' was unexpected", done.stdout), typo
