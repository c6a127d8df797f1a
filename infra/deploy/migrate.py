"""The migrations of a stage by an operator's command, where the stage says ``migrations="manual"``.

They run from this checkout, with the environment of the stage and the operator's own proof to AWS, and reach the
database as the operator does: through the tailnet, or through a SOCKS5 proxy of it, which is what CI has.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.environment.build import build
from infra.environment.table import Inputs
from infra.shell.failure import Failure
from infra.stage.record import Stage
from infra.stage.variables import groups
from service import settings

# How the service itself proves who it is, and reaches the database: from Railway, not from here.
_THE_SERVICES: Final = ("ROLES_ANYWHERE_", "DATABASE_PROXY")


class MigrateError(Failure):
    """The migrations failed; what they said is above."""


def environment(
    stage: Stage, outputs: Mapping[str, str], environ: Mapping[str, str], proxy: str | None = None
) -> dict[str, str]:
    """The environment that the migrations of a stage run with.

    Args:
        stage: The stage.
        outputs: Its stack outputs.
        environ: Of the operator: PATH, credentials of AWS. What the service would read in it does not count.
        proxy: ``socks5://host:port`` of the tailnet; None where this machine is in it.
    """
    known = {variable.name: variable for variable in settings.variables(groups())}
    found = {name: value for name, value in environ.items() if settings.described(name, known) is None}
    for variable in build(Inputs(stage, outputs)):
        if variable.value is not None and not variable.name.startswith(_THE_SERVICES):
            found[variable.name] = variable.value
    # The service of such a stage is not told, because it may not read it; the operator has to.
    found["DATABASE_MIGRATION_SECRET_ID"] = outputs["DatabaseMasterSecretArn"]
    return found | ({"DATABASE_PROXY": proxy} if proxy else {})


def migrate(root: Path, environ: Mapping[str, str]) -> None:
    """Apply what is missing; one runner at a time, whoever else has begun.

    Args:
        root: The checkout.
        environ: As ``environment`` made it.

    Raises:
        MigrateError: They failed.
    """
    command = [sys.executable, "-m", "migrations", "upgrade"]
    if subprocess.run(command, cwd=root, env=dict(environ), check=False).returncode:
        raise MigrateError(
            "The migrations failed, see above. This machine has to reach the database (join the tailnet with accepted "
            "routes, or give --proxy socks5://host:port), and its AWS credentials must be allowed to read the secret "
            "of the database's master: then run the same command again"
        )
