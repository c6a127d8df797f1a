"""The end of a stage that is not production: its stacks with what they hold, then its Railway project."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from infra.deploy import stacks, tenant_keys
from infra.deploy.account import Account
from infra.deploy.moved import RECORDED, refuse_recorded
from infra.railway import operations
from infra.railway.api import Client
from infra.railway.operations import Railway
from infra.railway.project import project_name
from infra.railway.state import choose_workspace, told
from infra.shell.failure import Failure
from infra.stage.record import Stage


class DestroyError(Failure):
    """Nothing was deleted, or not everything; the text says which."""


def destroy(
    root: Path,
    folder: Path,
    stage: Stage,
    typed: str,
    workspace: str | None,
    echo: Callable[[str], None],
    *,
    connect: Callable[[], Client] = Client.from_environment,
    destroy_stacks: Callable[[Path, Stage, Path], None] = stacks.destroy,
    number: Callable[[Stage], str] = lambda stage: stacks.identity(stage).account,
    tenants: Callable[[Stage], Iterable[str]] = lambda stage: tenant_keys.tenants(Account(stage.region), stage),
) -> None:
    """Delete a stage. Keys of tenants stay, and are told: each is ended by its tenant's name, or not at all.

    Args:
        root: The checkout.
        folder: Where state lives.
        stage: Which.
        typed: Its name, as the person typed it.
        workspace: Id or name, where the token is for several.
        echo: Takes lines for the person.
        connect: Makes the Railway client.
        destroy_stacks: As ``stacks.destroy``.
        number: Of the account that the credentials are for.
        tenants: Those that have a key in the account.

    Raises:
        DestroyError: It is production, the name is another, or its data is protected.
    """
    if stage.environment == "production":
        raise DestroyError("Production is not destroyed by a command; docs/DEPLOYMENT.md says how it is taken down")
    if typed != stage.name:
        raise DestroyError(f"That is not the name of the stage ({stage.name}); nothing was deleted")
    if stage.retain:
        raise DestroyError(
            f"The stacks of stage {stage.name} are protected (retain in infra/product.py); nothing was deleted. "
            "Set retain and database.deletion_protection to false and deploy once, if that is what you want"
        )
    with connect() as client:  # may we, and is it here? Before anything is gone
        refuse_recorded(stage, told(Railway(client), stage.name, RECORDED, workspace), lambda: number(stage))
    _on_railway(stage, workspace, connect, lambda railway, project_id: None)
    destroy_stacks(root, stage, folder / stage.name)
    echo(f"Deleted the stacks {stage.names.whole}-*")
    for tenant in sorted(tenants(stage)):
        echo(f"The key of tenant {tenant} stays: uv run signalbox tenant-key {stage.name} {tenant} --end")

    def delete(railway: Railway, project_id: str) -> None:
        railway.call(operations.PROJECT_DELETE, id=project_id)
        echo(f"Deleted Railway project {project_name(stage.name)}")

    # Last: what the stacks told is in its variables, and who finds it gone takes the stage to be gone.
    _on_railway(stage, workspace, connect, delete)
    (folder / stage.name / "cdk-outputs.json").unlink(missing_ok=True)


def _on_railway(
    stage: Stage, workspace: str | None, connect: Callable[[], Client], act: Callable[[Railway, str], None]
) -> None:
    """Do something with the stage's project, where there is one."""
    with connect() as client:
        railway = Railway(client)
        chosen = choose_workspace(railway.workspaces(), workspace)
        found = [one for name, one in railway.projects(chosen) if name == project_name(stage.name)]
        if len(found) > 1:
            raise DestroyError(f"Two projects are named {project_name(stage.name)}: delete the right one on Railway")
        for project_id in found:
            act(railway, project_id)
