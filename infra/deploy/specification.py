"""What CloudFormation does to a resource whose property changes: the specification that the pinned CDK carries."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from infra.shell.failure import Failure

How = Literal["in place", "perhaps replaced", "replaced"]

_FILE: Final = Path("node_modules", "aws-cdk", "db.json.gz")
_HOW: Final[Mapping[str, How]] = {"yes": "replaced", "maybe": "perhaps replaced"}
# The specification says "perhaps" of what replaces only a read replica or what is restored from a snapshot. Ours are
# neither: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbinstance.html
_SETTLED: Final[Mapping[str, frozenset[str]]] = {
    "AWS::RDS::DBInstance": frozenset(
        {"MultiAZ", "BackupRetentionPeriod", "AutoMinorVersionUpgrade", "DBParameterGroupName", "StorageType"}
    ),
}


class SpecificationError(Failure):
    """The specification is not there, or does not know a type."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of resource.

    Attributes:
        replacing: Properties whose change replaces the resource, surely or perhaps.
        identifier: Properties that name it; what has the same name cannot stand beside what it replaces.
    """

    replacing: Mapping[str, How]
    identifier: tuple[str, ...]

    def changed(self, name: str) -> How:
        """What a change of a property does.

        Args:
            name: The property.
        """
        return self.replacing.get(name, "in place")


Specification = Mapping[str, Kind]


@cache
def specification(root: Path) -> Specification:
    """The types that the CDK command line knows, by name.

    Args:
        root: The checkout, with its packages from npm.

    Raises:
        SpecificationError: It is not there, or not as it was.
    """
    try:
        with gzip.open(root / _FILE) as file:
            entities: list[dict[str, Any]] = json.load(file)["schema"]["resource"]["entities"]
        return MappingProxyType({entity["cloudFormationType"]: _kind(entity) for entity in entities})
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise SpecificationError(
            f"{_FILE} cannot be read ({type(failure).__name__}): npm ci, and run this again"
        ) from None


def _kind(entity: Mapping[str, Any]) -> Kind:
    settled = _SETTLED.get(entity["cloudFormationType"], frozenset())
    found = {name: _HOW.get(body.get("causesReplacement", "no")) for name, body in entity["properties"].items()}
    replacing = {name: how for name, how in found.items() if how and not (how[0] == "p" and name in settled)}
    # Where the identifier is CloudFormation's to make, the specification names a property that templates do not have.
    return Kind(replacing, tuple(entity.get("primaryIdentifier") or ()))
