"""The program: ``cdk deploy --outputs-file`` first, then ``pulumi up`` in this folder.

    pulumi config set stage production
    pulumi config set outputs ../../../.signalbox/production/cdk-outputs.json
    pulumi config set repository owner/name
    pulumi config set --secret --path 'sealed.NAME' < value.txt

``RAILWAY_API_TOKEN`` and ``RAILWAY_DIGEST_KEY`` come from the environment and are never in the state.
"""

from __future__ import annotations

import json
from pathlib import Path

import pulumi

from infra.railway.pulumi.resources import RailwayStage
from infra.stage import outputs


def program() -> None:
    """Declare the stage."""
    config = pulumi.Config("signalbox")
    name = config.require("stage")
    document = json.loads(Path(config.require("outputs")).read_text(encoding="utf-8"))
    stage = RailwayStage(
        f"railway-{name}",
        stage=name,
        outputs=outputs.read(document, name),
        repository=config.require("repository"),
        branch=config.get("branch") or "main",
        workspace=config.get("workspace") or "",
        sealed=config.get_secret_object("sealed") or {},
    )
    pulumi.export("project_id", stage.project_id)
    pulumi.export("services", stage.services)


if __name__ == "__main__":
    program()
