"""What all stacks have in common: name, place, tags, protection."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.stage.outputs import Part, stack_name
from infra.stage.record import Stage
from service.product import NAME


class StageStack(cdk.Stack):
    """A stack of a stage.

    Args:
        scope: The app.
        stage: Where, and whether it is protected from deletion.
        part: Which one.
        description: What it holds.

    The context ``unprotected`` names the parts that do not stand yet. CloudFormation could not remove them after a
    creation that failed; ``infra.deploy.stacks`` protects them as soon as they stand.
    """

    def __init__(self, scope: Construct, *, stage: Stage, part: Part, description: str) -> None:
        unprotected = str(scope.node.try_get_context("unprotected") or "").split(",")
        super().__init__(
            scope,
            f"Signalbox{part.capitalize()}",
            stack_name=stack_name(stage.name, part),
            description=description,
            env=cdk.Environment(account=stage.account, region=stage.region),
            tags={"project": NAME, "stage": stage.name},
            termination_protection=stage.retain and part not in unprotected,
        )
