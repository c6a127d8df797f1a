"""docs/diagrams/stacks.d2: the stacks of a stage and what each takes from another, out of the synthesized templates."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from infra.stage.outputs import Part

FILE: Final = "docs/diagrams/stacks.d2"
STAGE: Final = "production"
PARTS: Final[tuple[Part, ...]] = get_args(Part)
# What a reader looks for; policies, routes and the like belong to these.
_SHOWN: Final[Mapping[str, str]] = {
    "AWS::EC2::VPC": "VPC",
    "AWS::EC2::NatGateway": "NAT gateway",
    "AWS::EC2::FlowLog": "flow log",
    "AWS::EC2::VPCEndpoint": "endpoint",
    "AWS::KMS::Key": "KMS key",
    "AWS::RDS::DBInstance": "RDS instance",
    "AWS::Backup::BackupVault": "backup vault",
    "AWS::S3::Bucket": "bucket",
    "AWS::SecretsManager::Secret": "secret",
    "AWS::Cognito::UserPool": "user pool",
    "AWS::Cognito::UserPoolClient": "client",
    "AWS::Lambda::Function": "function",
    "AWS::RolesAnywhere::TrustAnchor": "trust anchor",
    "AWS::AutoScaling::AutoScalingGroup": "subnet router",
    "AWS::CloudTrail::Trail": "audit trail",
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::SNS::Topic": "topic",
    "AWS::Budgets::Budget": "budget",
}


def graph(templates: Mapping[str, Mapping[str, Any]]) -> str:
    """The picture's text.

    Args:
        templates: Of the stage, by part: network, data, ...
    """
    lines = [f"# Made from the templates of stage {STAGE}: uv run signalbox docs --stacks", "direction: down"]
    for part in PARTS:
        template = templates[part]
        counted = Counter(resource["Type"] for resource in template["Resources"].values())
        shown = [_told(name, counted[kind]) for kind, name in _SHOWN.items() if counted[kind]]
        lines.append(f'{part}: "{part}\\n{_lines(shown)}"')
    lines += sorted(
        f'{part} -> {other}: "{count} {"value" if count == 1 else "values"}"'
        for part, template in templates.items()
        for other, count in _taken(template)
    )
    return "\n".join(lines) + "\n"


def _told(name: str, count: int) -> str:
    return name if count == 1 else f"{count} {name}s"


def _lines(words: list[str], each: int = 3) -> str:
    return ",\\n".join(", ".join(words[at : at + each]) for at in range(0, len(words), each))


def _taken(template: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The other stacks that a template takes outputs of, and how many of each."""
    outputs = set(re.findall(r'"StackName": "([^"]+)"[^}]*"OutputName": "([^"]+)"', json.dumps(template)))
    counted = Counter(name.rpartition(f"-{STAGE}-")[2] for name, _ in outputs)
    yield from sorted(counted.items())


def written() -> str:
    """The picture's text as the code has it now: synthesizes the stage, which takes some seconds of processor time."""
    from infra.docs.hipaa.checked import made

    files = made(STAGE)
    names = {part: next(name for name in files if name.lower().endswith(f"{part}.template.json")) for part in PARTS}
    return graph({part: json.loads(files[name]) for part, name in names.items()})
