"""`signalbox up`: a local AWS, the project's own stacks, the environment made from them, and the API started from it.

One way, the way of a real deployment: stacks -> outputs -> environment -> migrations -> API. What is local is only
where the first and the last of them run.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import httpx

from infra.local import page, plain, state
from infra.local.cdk import LocalCdk
from infra.local.emulated import emulator_command
from infra.local.postgres import LocalPostgres
from infra.local.reload import Watch
from infra.local.users import create_users
from infra.shell.failure import Failure
from infra.shell.processes import Process
from infra.shell.progress import Steps
from infra.shell.tools import ensure_tools

if TYPE_CHECKING:
    from infra.stage.record import Stage

_READY_TIMEOUT = 60.0  # seconds until the emulator or the API must answer
# What a synthesis reads. Too much costs a synthesis, too little deploys what the code no longer says.
_SYNTH_INPUTS = (
    "infra/aws",
    "infra/stage",
    "infra/product.py",
    "service/naming.py",
    "service/product.py",
)
_SYNTHESIZE, _DEPLOY, _MIGRATE = "Synthesize the stacks", "Deploy the stacks with the CDK", "Apply the migrations"


class UpError(Failure):
    """A step failed; the text names it, the reason and what to do."""


class _Stopped(BaseException):
    """The person at the terminal, or whoever manages us, has had enough."""


@dataclass(slots=True)
class Up:
    """One run.

    Args:
        root: The checkout.
        folder: Where state lives between runs.
        port: Of the API.
        aws_port: Of the local AWS.
        page_port: Of the page; None for the one after the API's, or any where that is taken.
        reload: Whether to start the API anew when its code changes.
    """

    root: Path
    folder: Path
    port: int
    aws_port: int
    page_port: int | None = None
    reload: bool = False
    steps: Steps = field(default_factory=Steps)
    _resources: ExitStack = field(default_factory=ExitStack)
    _watched: list[Process] = field(default_factory=list)
    _api: tuple[Process, Mapping[str, str]] | None = None

    @property
    def api_url(self) -> str:
        """Origin of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def aws_url(self) -> str:
        """Endpoint of the local AWS."""
        return f"http://127.0.0.1:{self.aws_port}"

    def run(self, announce: Callable[[state.Running], None]) -> None:
        """Bring everything up, say so, and stay until told to stop: by Ctrl-C, SIGTERM or ``signalbox down``.

        Args:
            announce: Called once, when everything answers.

        Raises:
            Failure: A step failed; everything that had started is stopped.
        """
        with state.only_one(self.folder), _until_stopped(), self._resources:
            with self.steps:
                running = self._bring_up()
            announce(running)
            self._stay()

    def _bring_up(self) -> state.Running:
        for port, option in ((self.port, "--port"), (self.aws_port, "--aws-port"), (self.page_port, "--page-port")):
            if port is not None:
                _refuse_taken(port, option)
        assembly, outputs_file = self.folder / "cdk.out", self.folder / "cdk-outputs.json"
        with ThreadPoolExecutor(max_workers=3) as pool:
            ready = pool.submit(self._ready_to_deploy)
            try:
                with self.steps.step("Tools (CDK command line, local AWS)"):  # whatever may have to be downloaded
                    ensure_tools(self.root)
                    local_aws = emulator_command(self.root)
                synthesized = pool.submit(lambda: self._synthesize(ready.result()[1], assembly))
                self._start_postgres_and_aws(local_aws)
                target, cdk = ready.result()
                with self.steps.step("Bootstrap the local AWS"):
                    cdk.bootstrap()
                if not synthesized.result():
                    self.steps.nothing_new(_SYNTHESIZE)
                self._deploy(cdk, assembly, outputs_file)
            except BaseException:
                ready.add_done_callback(_cancel)  # also where that is still importing
                raise
        with self.steps.step("Turn their outputs into the environment"):
            outputs, environment = self._render(target, outputs_file)
        self._migrate(environment, outputs_file)
        with self.steps.step("Create the demo users"):
            users = create_users(self.aws_url, outputs)
        with self.steps.step("Start the API"):
            self._start_api(environment)
        page_url = self._start_page()
        running = state.describe(self.folder, self.api_url, self.aws_url, outputs, environment, users, page_url)
        state.save(self.folder, running)
        return running

    def _ready_to_deploy(self) -> tuple[Stage, LocalCdk]:
        """What is deployed, and with what. The imports take a second: it is spent beside what is started."""
        from infra.environment import build  # noqa: F401  for later
        from infra.stage.chosen import stage

        target = stage("local", public_url=self.api_url)
        return target, LocalCdk(self.aws_url, self.folder, self.root, target.region)

    def _synthesize(self, cdk: LocalCdk, assembly: Path) -> bool:
        sources = [self.root / name for name in ("cdk.json", "uv.lock", "package.json", *_SYNTH_INPUTS)]
        work = partial(cdk.synth, "local", self.api_url, assembly)
        made_of = self._digest(self.api_url, sources)
        return self._once(_SYNTHESIZE, assembly / ".signalbox-digest", made_of, work)

    def _deploy(self, cdk: LocalCdk, assembly: Path, outputs_file: Path) -> None:
        if cdk.has_deployed(assembly, outputs_file):
            self.steps.nothing_new(_DEPLOY)
            return
        with self.steps.step(_DEPLOY):
            cdk.deploy(assembly, outputs_file)

    def _once(self, title: str, mark: Path, made_of: str, work: Callable[[], None]) -> bool:
        """Do a step, and return True, unless its mark tells that it was done with the same before."""
        if mark.exists() and mark.read_text() == made_of:
            return False
        with self.steps.step(title):
            work()
            mark.write_text(made_of)
        return True

    def _digest(self, said: str, sources: Iterable[Path]) -> str:
        """What something is made from: the same text and the same files make the same."""
        found = hashlib.sha256(said.encode())
        for path in sources:
            for file in sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc") or [path]:
                found.update(str(file.relative_to(self.root)).encode() + b"\0" + file.read_bytes() + b"\0")
        return found.hexdigest()

    def _start_postgres_and_aws(self, local_aws: list[str]) -> None:
        with self.steps.step("Start PostgreSQL"):
            described = self._postgres()
        with self.steps.step("Start the local AWS"):
            env = _base_environment() | {
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.aws_port),
                "SIGNALBOX_LOCAL_POSTGRES": json.dumps(described),
                "SIGNALBOX_EMULATOR_STATE": str(self.folder / "aws"),
            }
            aws = self._start("local AWS", local_aws, env)
            self._wait(aws, f"{self.aws_url}/_ministack/health")

    def _postgres(self) -> Mapping[str, object]:
        """The server behind RDS, as the emulator wants it described."""
        postgres = self._resources.enter_context(LocalPostgres(self.folder / "postgres"))
        return {
            "host": "127.0.0.1",
            "port": postgres.port,
            "superuser": postgres.superuser,
            "password": postgres.password,
        }

    def _render(self, target: Stage, outputs_file: Path) -> tuple[dict[str, str], dict[str, str]]:
        from infra.environment.build import build, values
        from infra.environment.dotenv import dotenv, flat_json
        from infra.environment.table import Inputs, Local
        from infra.stage.outputs import read

        outputs = read(json.loads(outputs_file.read_text()), "local")
        environment = build(Inputs(target, outputs, Local(self.aws_url, self.port)))
        for name, text in (("railway.env", dotenv(environment)), ("railway.json", flat_json(environment))):
            (self.folder / name).write_text(text)
        return outputs, values(environment)

    def _migrate(self, environment: Mapping[str, str], outputs_file: Path) -> None:
        """Where a person reads why one failed. The API applies at its start, too, what a lost database is without."""
        sources = [self.root / "migrations", *sorted(self.root.glob("service/*/migrations"))]
        mark = self.folder / "migrated-by"
        if environment.get("RUN_MIGRATIONS") == "manual":  # but not then
            mark.unlink(missing_ok=True)
        work = partial(self._apply_migrations, environment)
        if not self._once(_MIGRATE, mark, self._digest(outputs_file.read_text(), sources), work):
            self.steps.nothing_new(_MIGRATE)

    def _apply_migrations(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "migrations", "upgrade"]
        env = {**_base_environment(), **environment}
        done = subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, check=False)
        log = self.folder / "logs" / "migrations.log"
        log.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise UpError(f"The migrations failed; see {log}.\n{(done.stdout + done.stderr)[-2000:]}")

    def _start_api(self, environment: Mapping[str, str]) -> None:
        api = self._start("API", [sys.executable, "-m", "service"], {**_base_environment(), **environment})
        self._api = api, environment
        self._wait(api, f"{self.api_url}/api/v1/health/ready")

    def _start_page(self) -> str | None:
        """Show the example of a front end, which knows where the API is; None where the checkout has none."""
        folder = self.folder / "page"
        if not page.lay_out(self.root, folder, self.port):
            return None
        port = self.page_port or page.port_beside(self.port, self.aws_port)
        command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
        url = f"http://127.0.0.1:{port}/"
        self._wait(self._start("page", command, _base_environment()), url)
        return url

    def _start(self, name: str, command: list[str], env: Mapping[str, str]) -> Process:
        log = self.folder / "logs" / f"{name.lower().replace(' ', '-')}.log"
        process = Process(name, command, env=env, cwd=self.root, log=log)
        self._resources.callback(process.stop)
        self._watched.append(process)
        return process

    def _wait(self, process: Process, url: str) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        with plain.client(2) as http:
            while time.monotonic() < deadline:
                _fail_if_ended(process)
                with suppress(httpx.HTTPError):
                    if http.get(url).status_code == 200:
                        return
                time.sleep(0.05)
        raise UpError(f"The {process.name} did not become ready in {_READY_TIMEOUT:.0f} s; see {process.log}.")

    def _stay(self) -> None:
        watch = Watch(self.root) if self.reload else None
        while True:
            if watch is not None and watch.changed():
                self._start_api_anew()
            for process in self._watched:
                _fail_if_ended(process)
            time.sleep(0.5)

    def _start_api_anew(self) -> None:
        """Code that does not start is told, and waited out: the next change may mend it."""
        assert self._api is not None
        api, environment = self._api
        api.stop()
        self._watched = [process for process in self._watched if process is not api]
        try:
            with self.steps.step("Start the API with the changed code"):
                self._start_api(environment)
        except UpError as failure:
            self._watched = [process for process in self._watched if process is not self._api[0]]
            self.steps.console.print(f"{failure}\nWaiting for the next change.", markup=False)


def _cancel(ready: Future[tuple[Stage, LocalCdk]]) -> None:
    if ready.exception() is None:
        ready.result()[1].cancel()


def _fail_if_ended(process: Process) -> None:
    if process.exit_code is not None:
        raise UpError(
            f"The {process.name} ended with code {process.exit_code}; see {process.log}.\n{process.last_lines()}"
        )


def _refuse_taken(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UpError(f"Port {port} is taken. Stop what listens there, or choose another with {option}.") from None


def _base_environment() -> dict[str, str]:
    """What a child needs of ours: no AWS credentials, no variable the service might read by accident."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return found | {"PYTHONUNBUFFERED": "1", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def _until_stopped() -> Iterator[None]:
    """End the block, and no more, on Ctrl-C and SIGTERM; a second one does not interrupt the clean-up of the first."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    with suppress(_Stopped):
        yield
