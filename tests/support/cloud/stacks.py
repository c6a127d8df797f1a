"""The project's own stacks in a local AWS, put there by the real CDK command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.aws.app import build_app
from infra.deploy.certificates import issue
from infra.local.cdk import LocalCdk, tool_environment
from infra.local.postgres import LocalPostgres, temporary_postgres
from infra.product import STAGES
from infra.shell.tools import ensure_tools
from infra.stage.outputs import read
from service.product import NAME
from tests.support.api.server import ROOT
from tests.support.cloud.emulator import Emulator, described
from tests.support.cloud.product import REGION

NO_DIFFERENCE, DIFFERENCE = 0, 1  # exit codes of `cdk diff --fail`


@dataclass
class Deployed:
    """Stage local, with the role by certificate that a stage on AWS has."""

    aws: Emulator
    postgres: LocalPostgres
    folder: Path
    cdk: LocalCdk
    authority: str

    def synthesize(self, **context: Any) -> Path:
        assembly = self.folder / f"cdk.out-{len(list(self.folder.glob('cdk.out-*')))}"
        given = {"access": "roles-anywhere", "authority": self.authority, **context}
        build_app("local", given, outdir=str(assembly)).synth()
        return assembly

    def deploy(self, assembly: Path) -> dict[str, str]:
        outputs = self.folder / "outputs.json"
        self.cdk.deploy(assembly, outputs)
        return read(json.loads(outputs.read_text()), "local")

    def standing(self) -> dict[str, str]:
        """Outputs of the stage as it stands there, and deployed when it does not: that takes some seconds."""
        outputs = self.folder / "outputs.json"
        if f"{NAME}-local-network" in self.stacks():
            return read(json.loads(outputs.read_text()), "local")
        return self.deploy(self.synthesize())

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Another command of the CDK."""
        return subprocess.run(
            [str(ROOT / "node_modules" / ".bin" / "cdk"), *command, "--no-notices"],
            cwd=self.folder,
            env=tool_environment(ROOT, self.folder, (self.aws.url, REGION)),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def stacks(self) -> Mapping[str, Any]:
        found = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack for stack in found if stack["StackName"].startswith(f"{NAME}-")}


@contextmanager
def local_aws(folder: Path) -> Iterator[Deployed]:
    """An emulator, bootstrapped, with nothing deployed yet, and a PostgreSQL of its own: RDS changes its roles."""
    ensure_tools(ROOT)
    authority = issue(STAGES["production"], folder / "public", folder / "private").authority.read_text()
    with temporary_postgres() as postgres, Emulator(SIGNALBOX_LOCAL_POSTGRES=described(postgres)) as aws:
        cdk = LocalCdk(aws.url, folder, ROOT, REGION)
        cdk.bootstrap()
        yield Deployed(aws, postgres, folder, cdk, authority)
