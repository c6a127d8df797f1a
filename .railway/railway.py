"""The deployment for `railway config plan` and `apply`: the same as railway.json, which Railway stops reading.

Prints nothing: Railway's command line reads JSON from stdout. The variables are in environments/<name>.json, which
`signalbox deploy` and `signalbox env --format sdk` write; a sealed one is there by name only, and stays as it is.
"""

import json
import os
from pathlib import Path

from railway_sdk import define_railway, github, image, preserve, project, service

FOLDER = Path(__file__).resolve().parent


def _variables(described):
    found = {}
    for name, entry in described.items():
        if entry.get("preserve") or entry.get("isSealed"):
            found[name] = preserve()
        else:
            found[name] = entry["reference"] if "reference" in entry else entry["value"]
    return found


@define_railway
def main(ctx=None):
    # Without a context (older command lines) the environment has to be named: no guess decides what is deployed.
    environment = getattr(ctx, "environment", None) or os.environ["RAILWAY_IAC_TARGET"]
    described = json.loads((FOLDER / "environments" / f"{Path(environment).name}.json").read_text(encoding="utf-8"))
    file = json.loads((FOLDER.parent / "railway.json").read_text(encoding="utf-8"))
    # Without the command, where the stage's migrations are an operator's to apply.
    manual = described["migrations"] == "manual"
    deploy = {name: value for name, value in file["deploy"].items() if not (manual and name == "preDeployCommand")}
    api = service(
        described["service"],
        source=github(described["repository"], branch=described["branch"]),
        build=file["build"],
        **({} if manual else {"preDeploy": deploy["preDeployCommand"]}),
        healthcheck=deploy["healthcheckPath"],
        healthcheckTimeout=deploy["healthcheckTimeout"],
        replicas=described["replicas"],
        deploy=deploy,
        env=_variables(described["variables"]),
    )
    others = [
        service(name, source=image(entry["image"]), deploy=entry["deploy"], env=_variables(entry["variables"]))
        for name, entry in described["beside"].items()
    ]
    return project(described["project"], resources=[api, *others])
