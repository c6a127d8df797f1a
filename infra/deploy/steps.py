"""`signalbox deploy`: from nothing to a smoke-tested service, in steps that can each be run alone and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from pydantic import SecretStr

from infra.deploy import preflight, stacks
from infra.deploy.finding import shown
from infra.deploy.moved import RECORDED, refuse_recorded
from infra.deploy.tailnet_api import Tailnet, wait_joined
from infra.railway import renderings, sources
from infra.railway.api import Client
from infra.railway.apply import apply, refuse_without_agreement
from infra.railway.operations import Railway
from infra.railway.plan import Plan, plan
from infra.railway.project import Project
from infra.railway.release import Clock, release, runs, smoke
from infra.railway.state import Place, observe, told, waiting
from infra.shell.failure import Failure
from infra.shell.progress import Steps
from infra.stage import costs
from infra.stage import tailscale as tunnel
from infra.stage.record import Stage

_WIDTH: Final = 80
_CERTIFICATE: Final = "ROLES_ANYWHERE_CERTIFICATE_SECRET"
_COLOURS: Final[Mapping[str, str]] = {"missing": "red", "note": "yellow"}
TITLES: Final[Mapping[str, str]] = {
    "doctor": "Look for what is missing",
    "stacks": "Deploy the stacks with the CDK",
    "render": "Turn their outputs into the environment",
    "plan": "Compare with what Railway has",
    "apply": "Apply the difference",
    "release": "Deploy the services and wait for readiness",
    "smoke": "Try it from outside",
}


class DeployError(Failure):
    """A step failed; the text says which, why, and how to go on from there."""


@dataclass(slots=True)
class Deployment:
    """One run.

    Attributes:
        root: The checkout.
        folder: Where state lives between runs.
        stage: The deployment target.
        repository: ``owner/name`` that Railway builds; None is that of the remote ``origin``.
        branch: Which branch.
        workspace: Id or name on Railway, where the token is for several.
        connect: Makes the Railway client.
        deploy_stacks: Deploys the stacks; as ``stacks.deploy``.
        check: As ``preflight.checks``.
        clock: Time.
        echo: Takes lines for the person.
        environ: Where sealed values and the smoke token come from.
        number: Of the account that the credentials are for.
        lose: Names of what is stateful and may be lost by this deployment.
        agree: Asks a person, who has seen the plan, whether it is to be applied.
        planned: The plan that was shown last, until something of it is applied.
        place: Where it was applied.
    """

    root: Path
    folder: Path
    stage: Stage
    repository: str | None = None
    branch: str = "main"
    workspace: str | None = None
    connect: Callable[[], Client] = Client.from_environment
    deploy_stacks: Callable[..., None] = stacks.deploy
    check: Callable[..., Iterator[preflight.Finding]] = preflight.checks
    clock: Clock = field(default_factory=Clock)
    echo: Callable[[str], None] = click.echo
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    number: Callable[[Stage], str] = lambda stage: stacks.identity(stage).account
    lose: tuple[str, ...] = ()
    agree: Callable[[str], bool] = lambda _: True
    planned: Plan | None = field(default=None, init=False)
    place: Place | None = field(default=None, init=False)

    def run(self, first: str = "doctor", last: str = "smoke") -> None:
        """Run steps in their order; each may be run again.

        Args:
            first: Where to begin, as after a failure.
            last: Where to end.

        Raises:
            DeployError: A step failed.
        """
        names = list(TITLES)
        with Steps() as steps:
            for name in names[names.index(first) : names.index(last) + 1]:
                if name == "apply":
                    self._ask(steps)
                with _told(name, self.stage.name, steps):
                    getattr(self, name)()

    def doctor(self) -> None:
        """Stop where something is missing.

        Raises:
            Failure: Something is.
        """
        found = [preflight.repository(self.root, self.repository)]
        found += self.check(self.root, self.stage, self.connect, self.workspace, self.branch)
        given, needed = self._sealed(), sources.sealed_needed(self.stage)
        if _CERTIFICATE in needed:
            found += preflight.certificate(given.get(_CERTIFICATE), self.stage)
        found += preflight.sealed(needed, given)
        for state, line in shown(found, _WIDTH - 4):
            self._line(click.style(line, fg=_COLOURS.get(state)))
        if missing := [finding.name for finding in found if finding.state == "missing"]:
            raise Failure(f"{', '.join(missing)} missing: see above what to do")

    def stacks(self) -> None:
        """Deploy the stacks, where the stage stands and nowhere else."""
        try:
            client = self.connect()
        except Failure:
            self._line("note: Railway was not asked in which account the stage stands: there is no token for it here")
        else:
            with client:
                key = told(Railway(client), self.stage.name, RECORDED, self.workspace)
            refuse_recorded(self.stage, key, lambda: self.number(self.stage))
        self.deploy_stacks(self.root, self.stage, self._outputs, lose=self.lose)

    def render(self) -> None:
        """Write the environment for people, and for ``railway config``."""
        project = self._project(sealed=False)
        folder = self.folder / self.stage.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "railway.env").write_text(renderings.printable(project, "dotenv"), encoding="utf-8")
        path = folder / "railway.sdk.json"
        path.write_text(renderings.printable(project, "sdk"), encoding="utf-8")
        self._line(f"wrote {folder / 'railway.env'}")

    def plan(self) -> Plan:
        """Show the difference; change nothing."""
        project = self._project(sealed=True)
        with self.connect() as client:
            found = plan(project, observe(Railway(client), project, self.workspace))
        for line in str(found).splitlines():
            self._line(line.strip())
        if stale := preflight.stale(self.root, runs(found.state, project.services[0].name)):
            self._line(f"note: {stale}")
        self.planned = found
        return found

    def apply(self) -> None:
        """Bring Railway to what it should be, with the domain of the API."""
        shown, project = self.planned or self.plan(), self._project(sealed=True)
        with self.connect() as client:
            if not shown.changes:
                refuse_without_agreement(Railway(client), project, shown.state.place.workspace)
                self._line("nothing to apply")
            else:
                self.planned = None
                found = apply(Railway(client), project, workspace=self.workspace, shown=shown, told=self._line)
                self.place = found.place
        if shown.changes:
            self._line(f"to undo: git checkout the revision before, then signalbox apply {self.stage.name}")
        for domain in waiting(shown.state, project):
            for line in domain.instructions:
                self._line(line)

    def release(self) -> None:
        """Have every service run what is configured: what the API needs first."""
        project = self._project(sealed=False)
        commit = preflight.git(self.root).commit
        with self.connect() as client:
            railway = Railway(client)
            state = self.planned.state if self.planned else None
            state = state or observe(railway, project, self.workspace, known=self.place, values=False)
            refuse_without_agreement(railway, project, state.place.workspace)
            for service in reversed(project.services):
                built = commit if "repo" in service.source else None
                release(railway, state, service.name, built, clock=self.clock, told=self._line)
                if service.name == tunnel.SERVICE:
                    self._joined()

    def _joined(self) -> None:
        """The other end, which the tunnel's health check cannot see; without a token, the API's readiness proves it."""
        if tailnet := Tailnet.from_environment(self.environ):
            with tailnet:
                for finding in wait_joined(tailnet, self.stage, self.clock):
                    self._line(f"tailnet, {finding.name}: {finding.text}")

    def smoke(self) -> None:
        """Look at it from outside, and sum up."""
        given = self.environ.get("SIGNALBOX_SMOKE_TOKEN")
        smoke(
            self.stage.public_url,
            self.stage.environment,
            preflight.git(self.root).commit,
            SecretStr(given) if given else None,
            clock=self.clock,
            told=self._line,
        )

    def summary(self) -> str:
        """What there is now, and what it costs."""
        project = self._project(sealed=False)
        names = ", ".join(service.name for service in project.services)
        return (
            f"Stage {self.stage.name} runs at {self.stage.public_url}\n"
            f"AWS: the stacks {self.stage.names.whole}-* in {self.stage.region}\n"
            f"Railway: project {project.name}, environment {project.environment}, services {names}\n"
            f"{costs.summary(self.stage)}"
        )

    def _ask(self, steps: Steps) -> None:
        """Plan, question, then apply."""
        if self.planned is None:
            with _told("plan", self.stage.name, steps):
                self.plan()
        assert self.planned is not None
        if self.planned.changes:
            with steps.paused():
                agreed = self.agree(f"Apply this to Railway, stage {self.stage.name}?")
            if not agreed:
                raise DeployError("Nothing was applied to Railway")

    @property
    def _outputs(self) -> Path:
        return sources.outputs_file(self.folder, self.stage.name)

    def _project(self, *, sealed: bool) -> Project:
        """The project; without sealed values it can be printed."""
        found = sources.outputs(self._outputs, self.stage.name)
        given = self._sealed() if sealed else {}
        repository = sources.repository(self.root, self.repository)
        return sources.stage_project(self.root, self.stage, found, given, repository, self.branch)

    def _sealed(self) -> dict[str, str]:
        return sources.sealed_values(self.environ, self.folder / "certs" / self.stage.name)

    def _line(self, text: str) -> None:
        self.echo(f"    {text}")


@contextmanager
def _told(name: str, stage: str, steps: Steps) -> Iterator[None]:
    step: AbstractContextManager[None] = steps.step(TITLES[name])
    try:
        with step:
            yield
    except Failure as failure:
        raise DeployError(
            f"{TITLES[name]}: {failure}\nEvery step may be repeated. Go on with: "
            f"uv run signalbox deploy {stage} --from {name}"
        ) from None
