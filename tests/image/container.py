"""Look into the built image and run it: ``.ci/image`` calls this with the image's files and its configuration."""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from infra.docs.supply import below
from infra.local import state
from infra.local.postgres import temporary_postgres
from tests.image.run import Image, first_process
from tests.support.api.server import ROOT, free_port
from tests.support.database.databases import APP, APP_PASSWORD, MASTER, MASTER_PASSWORD, Database, Databases
from tests.support.idp.issuer import Issuer

MEGABYTE = 1_000_000
LIMIT = 265 * MEGABYTE
OUR_LIMIT = 140 * MEGABYTE  # OpenTelemetry's packages are 12 of it; the published base has about 125
CONTEXT = {"LICENSE", "README.md", "migrations", "product", "pyproject.toml", "service", "uv.lock"}


class CheckFailed(Exception):  # noqa: N818  not an error of this program
    """What was found is not what docs/IMAGE.md promises."""


def expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise CheckFailed(otherwise)


def check_context(image: Image) -> str:
    found = {path.name for path in image.context.iterdir()}
    expect(found == CONTEXT, f"the builder gets {sorted(found)}, and should get {sorted(CONTEXT)}")
    stray = [p for p in image.context.rglob("*") if p.name.startswith(".") or p.name == "__pycache__"]
    expect(not stray, f"the builder gets {stray}")
    return "the builder gets the service, its migrations and the lock, and nothing else"


def check_configuration(image: Image) -> str:
    expect(image.config["User"] == "999:999", f"user {image.config.get('User')!r} is not a number other than root's")
    expect(image.config["Cmd"] == ["python", "-m", "service"], f"the command is {image.config['Cmd']}")
    expect(not image.config.get("Entrypoint"), "there is an entry point before the command")
    writable = [
        path
        for path in (image.root / "app").rglob("*")
        if not path.is_symlink() and (path.lstat().st_uid != 0 or path.lstat().st_mode & stat.S_IWOTH)
    ]
    expect(not writable, f"the service could change {writable[:3]}")
    return "user 999, exec form, no file of the application that the service could change"


def check_packages(image: Image) -> str:
    run: Any = {"cwd": ROOT, "capture_output": True, "text": True, "check": True}
    modules = {path.name for path in image.site.iterdir()}
    expect({"service", "migrations"} <= modules, "service or migrations is missing")
    expect(not {"infra", "tests"} & modules, "infra or tests is in the image")
    for name in subprocess.run(["git", "ls-files", "service", "migrations"], **run).stdout.splitlines():
        expect((image.site / name).read_bytes() == (ROOT / name).read_bytes(), f"{name} is another in the image")
    expect(not (image.root / "app/.venv/bin/signalbox").exists(), "the command of the checkout is in the image")
    exported = subprocess.run(
        [
            "uv",
            "export",
            "-q",
            "--locked",
            "--no-default-groups",
            "--group",
            "image",
            "--no-hashes",
            "--no-emit-project",
            "--no-header",
        ],
        **run,
    ).stdout
    inside = {"python_version": image.site.parent.name.removeprefix("python"), "sys_platform": "linux"}
    wanted = {"signalbox"}
    for line in exported.splitlines():
        requirement = Requirement(line.split("#")[0].strip()) if line.strip() and line[0] not in " #" else None
        if requirement and (requirement.marker is None or requirement.marker.evaluate(inside)):
            wanted.add(canonicalize_name(requirement.name))
    found = {canonicalize_name(path.name.split("-")[0]) for path in image.site.glob("*.dist-info")}
    expect(found == wanted, f"too many: {sorted(found - wanted)}, too few: {sorted(wanted - found)}")
    versions = [path.name.removesuffix(".dist-info").split("-")[:2] for path in image.site.glob("*.dist-info")]
    faults = below((canonicalize_name(name), version) for name, version in versions)
    expect(not faults, f"a package is below the floor of an advisory: {faults}")
    return (
        f"every file of service and migrations, the {len(found)} locked packages, none below the floor of an advisory, "
        "no infra, nothing of development"
    )


def check_bytecode(image: Image) -> str:
    """Compiled, and so that no difference of file times makes Python compile it anew at every start (PEP 552)."""
    tag = f"cpython-{image.site.parent.name.removeprefix('python').replace('.', '')}"
    (library,) = {path.parent for path in image.root.glob(f"usr/**/{image.site.parent.name}/os.py")}
    sources = [*image.site.rglob("*.py"), *library.glob("*.py"), *library.glob("asyncio/*.py")]
    sources = [source for source in sources if not source.is_symlink()]  # Debian's point into /etc
    unfit = []
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        if not compiled.exists() or compiled.read_bytes()[4:8] != b"\x01\0\0\0":  # by hash, unchecked
            unfit.append(str(source.relative_to(image.root)))
    expect(not unfit, f"{len(unfit)} modules are not compiled, among them {unfit[:3]}")
    return f"{len(sources)} modules compiled for any file time, standard library included"


def check_extensions(image: Image) -> str:
    """Stripped modules must still load; lxml and xmlsec refuse to unless they carry the same libxml2."""
    script = r"""
import importlib, pathlib, re, sys
site = pathlib.Path(next(p for p in sys.path if p.endswith("site-packages")))
names = [str(path.relative_to(site)).replace("/", ".") for path in site.rglob("*.so")]
for name in names:
    importlib.import_module(re.sub(r"\.(cpython-\d+|abi3).*\.so$", "", name))
print(len(names))
"""
    done = image.run(["python", "-c", script], {})
    expect(done.returncode == 0, done.stderr)
    return f"all {done.stdout.strip()} compiled modules load"


def check_size(image: Image) -> str:
    """Our part is limited, because the base that was built on may be a stand-in."""

    def size(*folders: Path) -> int:
        found = {}
        for path in (path for folder in folders for path in folder.rglob("*")):
            about = path.lstat()
            found[about.st_ino] = about.st_size if stat.S_ISREG(about.st_mode) else 0
        return sum(found.values())

    compiled = image.root.glob(f"usr/**/{image.site.parent.name}/**/__pycache__")
    whole, ours = size(image.root), size(image.root / "app", *compiled)
    expect(ours < OUR_LIMIT, f"we add {ours / MEGABYTE:.0f} MB, and the limit is {OUR_LIMIT / MEGABYTE:.0f}")
    expect(whole < LIMIT, f"{whole / MEGABYTE:.0f} MB, and the limit is {LIMIT / MEGABYTE:.0f}")
    return f"{whole / MEGABYTE:.0f} MB unpacked, of which we add {ours / MEGABYTE:.0f} to the base"


def environment(database: Database, issuer: Issuer, *, master: bool = False, **more: str) -> dict[str, str]:
    login = (MASTER, MASTER_PASSWORD) if master else (APP, APP_PASSWORD)
    return {
        "ENVIRONMENT": "development",
        "HOST": "127.0.0.1",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "DATABASE_URL": database.url(*login),
        **issuer.environment(),
        **more,
    }


def check_manual(image: Image, database: Database, issuer: Issuer) -> str:
    command = image.config["Cmd"]
    refused = image.run(command, environment(database, issuer, master=True, RUN_MIGRATIONS="manual"))
    expect(refused.returncode == 1, f"manual on an empty database ends with {refused.returncode}: {refused.stderr}")
    expect("python -m migrations upgrade" in refused.stderr, f"the refusal does not name the command: {refused.stderr}")
    migrated = image.run(["python", "-m", "migrations", "upgrade"], environment(database, issuer, master=True))
    expect(migrated.returncode == 0, f"the named command ends with {migrated.returncode}: {migrated.stderr}")
    database.as_superuser(f"alter role {APP} password '{APP_PASSWORD}'")
    return "RUN_MIGRATIONS=manual refuses an empty database with exit code 1, and the command it names mends that"


def wait_ready(process: subprocess.Popen[str], client: httpx.Client, path: str) -> httpx.Response:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if (answer := client.get(path)).status_code == 200:
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.01)
    process.kill()
    raise CheckFailed("\n".join([f"{path} did not answer 200", *process.communicate()]))


def check_service(image: Image, database: Database, issuer: Issuer) -> str:
    """Health, identity, file system; then SIGTERM while a request waits for the issuer's slow keys."""
    port = free_port()
    issuer.delay = 3.0
    given = environment(database, issuer, PORT=str(port), RUN_MIGRATIONS="manual")
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
    begun = time.monotonic()
    with image.started(image.config["Cmd"], given) as outer, client:
        wait_ready(outer, client, "/api/v1/health/live")
        took = time.monotonic() - begun
        inner = first_process(outer)
        about = dict(line.split(":\t", 1) for line in Path(f"/proc/{inner}/status").read_text().splitlines())
        expect(about["Uid"].split() == ["999"] * 4, f"it runs as {about['Uid']}")
        expect(about["NSpid"].split()[-1] == "1", "the service is not process 1")
        mounts = [line.split() for line in Path(f"/proc/{inner}/mountinfo").read_text().splitlines()]
        expect(any(m[4] == "/" and "ro" in m[5].split(",") for m in mounts), "its root is not read-only")

        answers: list[httpx.Response] = []
        token = {"Authorization": f"Bearer {issuer.token('acme', 'alice')}"}
        request = threading.Thread(target=lambda: answers.append(client.get("/api/v1/auth/validate", headers=token)))
        request.start()
        time.sleep(0.5)
        expect(not answers, "the request did not wait for the keys: it shows nothing about draining")
        os.kill(inner, signal.SIGTERM)
        request.join(20)
        expect(answers and answers[0].status_code == 200, f"the request in flight got {answers}")
        expect(answers[0].json()["tenant"] == "acme", f"the token's tenant became {answers[0].json()}")
        code = outer.wait(30)
        expect(code == 0, f"it ended with {code}")
    issuer.delay = 0.0
    return f"live after {took:.2f} s as process 1, user 999, root read-only; SIGTERM drained an authenticated request"


def check_auto(image: Image, database: Database, issuer: Issuer) -> str:
    port = free_port()
    with (
        image.started(image.config["Cmd"], environment(database, issuer, master=True, PORT=str(port))) as outer,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        ready = wait_ready(outer, client, "/api/v1/health/ready")
        expect(ready.json()["checks"]["migrations"] == "ok", f"readiness says {ready.json()}")
        token = issuer.token("acme", "alice")
        answer = client.get("/api/v1/auth/validate", headers={"Authorization": f"Bearer {token}"})
        expect(answer.status_code == 200, f"a good token got {answer.status_code}")
        expect(client.get("/api/v1/auth/validate").status_code == 401, "no token was let in")
        os.kill(first_process(outer), signal.SIGTERM)
        expect(outer.wait(30) == 0, "it did not stop in good order")
    return "RUN_MIGRATIONS=auto on an empty database: migrated, ready, one authenticated request, stopped"


def check_chain(image: Image) -> str:
    """What docker-compose.yml wires: stacks on the local AWS, their outputs, the image started from these."""
    compose = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    port, aws_port = free_port(), free_port()
    with temporary_postgres() as server, tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, state_folder = Path(name, "run"), Path(name, "state")
        env_file = folder / "signalbox" / "api.env"
        env_file.parent.mkdir(parents=True)
        folder.parent.chmod(0o755)
        given = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(server.port),
            "POSTGRES_PASSWORD": server.password,
            "API_ENV_FOLDER": str(env_file.parent),
            "STATE_FOLDER": str(state_folder),
            "PORT": str(port),
            "AWS_PORT": str(aws_port),
        }
        log = Path(name, "log")
        with log.open("wb") as output:
            command = compose["emulator"]["command"]
            stacks = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stdout=output, stderr=output)
        stack.callback(stacks.wait, 30)
        stack.callback(stacks.terminate)
        begun = time.monotonic()
        while not (state_folder / "up.json").exists():
            expect(stacks.poll() is None and time.monotonic() < begun + 240, f"no stacks: {log.read_text()}")
            time.sleep(0.1)
        took = time.monotonic() - begun
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
        outer = stack.enter_context(image.started(compose["api"]["command"], {}, folder))
        ready = wait_ready(outer, client, "/api/v1/health/ready")
        token = state.access_token(state.load(state_folder), "alice")
        answer = client.get("/api/v1/auth/validate", headers={"Authorization": f"Bearer {token}"})
        expect(answer.status_code == 200 and answer.json()["tenant"] == "acme", f"a user's token got {answer.text}")
        expect(set(ready.json()["checks"].values()) == {"ok"}, f"readiness says {ready.json()}")
        os.kill(first_process(outer), signal.SIGTERM)
        expect(outer.wait(30) == 0, "it did not stop in good order")
    return f"stacks on the local AWS ({took:.0f} s), their outputs, the image started from these alone, a user's token"


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("root", "context", "config"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    image = Image(given.root, given.context, json.loads(given.config.read_text())["OCIv1"]["config"])
    looked: list[Callable[[Image], str]] = [
        check_context,
        check_configuration,
        check_packages,
        check_bytecode,
        check_extensions,
        check_size,
    ]
    ran = [check_manual, check_service]
    failed = 0
    with temporary_postgres() as server, Issuer() as issuer:
        databases = Databases(server)
        database = databases.empty()
        checks: list[Callable[[], str]] = [lambda check=check: check(image) for check in looked]  # type: ignore[misc]
        checks += [lambda check=check: check(image, database, issuer) for check in ran]  # type: ignore[misc]
        checks += [lambda: check_auto(image, databases.empty(), issuer), lambda: check_chain(image)]
        for check in checks:
            try:
                print("  ok    ", check(), flush=True)  # noqa: T201
            except CheckFailed as failure:
                failed += 1
                print("  FAILED", failure, flush=True)  # noqa: T201
    print(f"{len(checks) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
