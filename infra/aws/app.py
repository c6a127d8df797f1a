"""The CDK app. ``cdk`` runs this module (see cdk.json); tests call ``build_app``. Both get the same templates."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import aws_cdk as cdk

from infra.aws import checks
from infra.aws.stacks.access import AccessStack
from infra.aws.stacks.data import DataStack
from infra.aws.stacks.identity import IdentityStack
from infra.aws.stacks.network import NetworkStack
from infra.aws.stacks.watch import WatchStack
from infra.product import STAGES
from infra.shell.paths import ROOT
from infra.stage.certificate import AUTHORITIES
from infra.stage.chosen import stage
from infra.stage.record import ConfigurationError

# What can differ from machine to machine without being a decision about the stage.
_OVERRIDABLE: Final = ("account", "domain_prefix", "public_url", "access")


def build_app(
    stage_name: str | None = None, context: Mapping[str, Any] | None = None, outdir: str | None = None
) -> cdk.App:
    """Wire the stacks of one stage. Asks nobody: no AWS, no git, no clock.

    Args:
        stage_name: Which stage; None takes the context's ``stage``, or else the first
            stage that is not ``local``.
        context: CDK context on top of that of cdk.json. ``account``, ``domain_prefix``, ``public_url`` and ``access``
            replace those of the stage; ``authority`` is the certificate (PEM) of its authority. What ``cdk -c`` gives
            wins over it.
        outdir: Folder for the cloud assembly; None leaves it to the CDK.

    Raises:
        ConfigurationError: No such stage, or one that must not exist.
    """
    # An app without the CLI gets no feature flags, and they change what is rendered.
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context={**flags, **(context or {})}, outdir=outdir, analytics_reporting=False)
    given = {key: str(value) for key in _OVERRIDABLE if (value := app.node.try_get_context(key)) is not None}
    config = stage(
        stage_name or str(app.node.try_get_context("stage") or next(name for name in STAGES if name != "local")),
        **given,
    )
    network = NetworkStack(app, stage=config)
    data = DataStack(app, stage=config, network=network.network, logs_key=network.logs_key.key)
    identity = IdentityStack(app, stage=config, logs_key=network.logs_key.key)
    access = AccessStack(app, stage=config, network=network.network, data=data, authority=_authority(app, config.name))
    WatchStack(app, stage=config, data=data, identity=identity, access=access, logs_key=network.logs_key.key)
    checks.install(app, config)
    return app


def _authority(app: cdk.App, stage_name: str) -> str | None:
    """Certificate of the stage's authority: from the context, or the file that ``signalbox certs`` has written."""
    given = app.node.try_get_context("authority")
    file = ROOT / AUTHORITIES / f"{stage_name}.pem"
    return str(given) if given else file.read_text(encoding="ascii") if file.exists() else None


def main() -> None:
    """Synthesize for ``cdk``."""
    try:
        app = build_app()
    except ConfigurationError as failure:
        sys.exit(str(failure))
    app.synth()


if __name__ == "__main__":
    main()
