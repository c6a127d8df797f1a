"""A drill: the database of a stage is restored into an instance beside it, timed, compared, and the copy deleted.

Nothing of the original is changed. What the copy must share with it is what protects health data; that it costs less
(one zone, no protection from deletion) is what makes it a drill.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from infra.deploy.account import Account, AwsError, code, unanswered
from infra.stage.record import Stage

_MINUTES: Final = 180  # of waiting; a large instance takes long
_PAUSE: Final = 10.0  # seconds between two questions

Instance = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drill:
    """What a restore took, and how the copy differs.

    Attributes:
        stage: Its name.
        when: Time of the beginning, UTC.
        source: Instance that was restored.
        copy: Instance that was made.
        restored_to: The second, or the snapshot.
        seconds: Until the copy could be used.
        differences: What the copy should share with the original and does not, with both sides.
        kept: Whether the copy is still there.
    """

    stage: str
    when: str
    source: str
    copy: str
    restored_to: str
    seconds: int
    differences: tuple[str, ...]
    kept: bool

    def json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def restore(
    account: Account,
    stage: Stage,
    *,
    at: datetime | None = None,
    snapshot: str | None = None,
    keep: bool = False,
    tell: Callable[[str], None] = print,
    pause: float = _PAUSE,
) -> Drill:
    """Restore the database of a stage into an instance of its own.

    Args:
        account: Of the stage.
        stage: Whose database it is.
        at: The second; None takes the latest that can be had.
        snapshot: Instead of a second.
        keep: Leave the copy.
        tell: Told what goes on.
        pause: Seconds between two questions.

    Raises:
        AwsError: No such instance, a copy of before is still there, or AWS refuses; the text has the next step.
    """
    rds, source = account.client("rds"), stage.names.whole
    copy, begun, clock = f"{source}-restored", datetime.now(UTC), time.monotonic()
    original = _described(rds, source)
    if original is None:
        raise AwsError(f"There is no database {source} in {account.region}: deploy stage {stage.name} first")
    if _described(rds, copy) is not None:
        raise AwsError(
            f"{copy} is still there, from a restore before: look whether it is needed, then "
            f"aws rds delete-db-instance --db-instance-identifier {copy} --skip-final-snapshot"
        )
    latest = original.get("LatestRestorableTime")
    to = snapshot or f"{at or latest:%Y-%m-%dT%H:%M:%SZ}"
    tell(f"Restoring {source}, as of {to}, into {copy}")
    try:
        _begin(rds, source, copy, original, at, snapshot)
    except Exception as failure:
        if not code(failure):
            raise
        raise AwsError(
            f"AWS does not restore {source} as of {to} ({code(failure)}); the latest second that it can is {latest}"
        ) from None
    account.wait(lambda: _usable(rds, copy), f"{copy} is available", minutes=_MINUTES, pause=pause)
    seconds = int(time.monotonic() - clock)
    tell(f"It can be used after {seconds} s")
    found = tuple(differences(original, _described(rds, copy) or {}))
    if not keep:
        rds.delete_db_instance(DBInstanceIdentifier=copy, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        tell(f"{copy} is being deleted")
    return Drill(stage.name, f"{begun:%Y-%m-%dT%H:%M:%SZ}", source, copy, to, seconds, found, keep)


def differences(original: Instance, copy: Instance) -> list[str]:
    """What protects the data of the original and not that of the copy.

    Args:
        original: As RDS describes it.
        copy: The same of the other.
    """
    ours, theirs = _protection(original), _protection(copy)
    return [f"{what}: {theirs[what]} instead of {ours[what]}" for what in ours if ours[what] != theirs[what]]


def _protection(found: Instance) -> dict[str, object]:
    return {
        "engine version": found.get("EngineVersion"),
        "encryption": found.get("StorageEncrypted"),
        "key": found.get("KmsKeyId"),
        "public address": found.get("PubliclyAccessible"),
        "login by IAM": found.get("IAMDatabaseAuthenticationEnabled"),
        "subnets": _subnets(found),
        "security groups": _groups(found),
        "parameters": _parameters(found),
    }


def _begin(rds: Any, source: str, copy: str, original: Instance, at: datetime | None, snapshot: str | None) -> None:
    shared: dict[str, Any] = {
        "DBInstanceClass": original["DBInstanceClass"],
        "VpcSecurityGroupIds": _groups(original),
        "PubliclyAccessible": False,
        "MultiAZ": False,
        "DeletionProtection": False,
        "CopyTagsToSnapshot": True,
        "EnableIAMDatabaseAuthentication": bool(original.get("IAMDatabaseAuthenticationEnabled")),
    }
    if subnets := _subnets(original):
        shared["DBSubnetGroupName"] = subnets
    if parameters := _parameters(original):
        shared["DBParameterGroupName"] = parameters[0]
    if snapshot is not None:
        rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=copy, DBSnapshotIdentifier=snapshot, **shared)
    else:
        second = {"UseLatestRestorableTime": True} if at is None else {"RestoreTime": at}
        rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier=source, TargetDBInstanceIdentifier=copy, **second, **shared
        )


def _described(rds: Any, identifier: str) -> Instance | None:
    try:
        found = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    except Exception as failure:
        if code(failure) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return None
        raise AwsError(f"RDS could not be asked for {identifier}: {code(failure) or unanswered(failure)}") from None
    return found[0] if found else None


def _usable(rds: Any, copy: str) -> bool:
    state = str((_described(rds, copy) or {}).get("DBInstanceStatus", ""))
    if state == "failed" or state.startswith(("incompatible-", "inaccessible-")):
        raise AwsError(f"{copy} is {state}: its events in the console of RDS say why; delete it and run this again")
    return state == "available"


def _subnets(found: Instance) -> str | None:
    name = (found.get("DBSubnetGroup") or {}).get("DBSubnetGroupName")
    return str(name) if name else None


def _groups(found: Instance) -> list[str]:
    return sorted(str(group["VpcSecurityGroupId"]) for group in found.get("VpcSecurityGroups", ()))


def _parameters(found: Instance) -> list[str]:
    return [str(group["DBParameterGroupName"]) for group in found.get("DBParameterGroups", ())]
