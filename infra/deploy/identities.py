"""Who can act in the account of a stage: the certificate that its service shows, and roles that no one takes on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509

from infra.deploy.account import Account
from infra.deploy.asking import NotLooked
from infra.stage.record import Stage
from infra.stage.verified import Deviation

CERTIFICATE_DAYS: Final = 14
ROLE_DAYS: Final = 90
CERTIFICATE, USE = "end of the service's certificate", "last use of the role"
_SERVICE_LINKED: Final = "/aws-service-role/"
# By logical id: roles that are taken on when something happens, which may be never.
ON_OCCASION: Final = (
    "CustomVpc",  # the CDK's function, when the network is made
    "AlarmsEvents",  # tells the topic of an event that is rare
    "Tenant",  # where no feature keeps anything in AWS
)


def certificate(account: Account, stage: Stage, now: datetime) -> Iterator[Deviation]:
    """The certificate that the service showed last, as AWS has recorded it: no one can read the one on Railway.

    Args:
        account: Where.
        stage: Whose service.
        now: The time.
    """
    if stage.access != "roles-anywhere":
        return
    name, shown = stage.names.certificate, list[Any]()
    rolesanywhere = account.client("rolesanywhere")
    for page in rolesanywhere.get_paginator("list_subjects").paginate():
        for subject in page["subjects"]:
            if f"CN={name}" in [part.strip() for part in subject["x509Subject"].split(",")]:
                known = rolesanywhere.get_subject(subjectId=subject["subjectId"])["subject"]
                shown += [one for one in known.get("credentials", ()) if not one.get("failed")]
    if not shown:
        yield NotLooked("AWS has seen none of it yet").of(name, CERTIFICATE)
        return
    last = max(shown, key=lambda one: one["seenAt"])
    end = x509.load_pem_x509_certificate(last["x509CertificateData"].encode()).not_valid_after_utc
    if end - now <= timedelta(days=CERTIFICATE_DAYS):
        yield Deviation(name, CERTIFICATE, f"later than in {CERTIFICATE_DAYS} days", f"{end:%Y-%m-%d}")


def roles(account: Account, stage: Stage, now: datetime, spared: Collection[str] = ()) -> Iterator[Deviation]:
    """Roles with the stage's name that are old and that no one takes on, those that a stack has left among them.

    Args:
        account: Where.
        stage: Whose.
        now: The time.
        spared: Names of roles that may be unused.
    """
    iam, since = account.client("iam"), now - timedelta(days=ROLE_DAYS)
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            name = role["RoleName"]
            ours = name.startswith(f"{stage.names.whole}-") and not role["Path"].startswith(_SERVICE_LINKED)
            if not ours or name in spared or role["CreateDate"] > since:
                continue
            used = iam.get_role(RoleName=name)["Role"].get("RoleLastUsed", {}).get("LastUsedDate")  # a list has it not
            if used is None or used < since:
                last = f"{used:%Y-%m-%d}" if used else "never"
                yield Deviation(name, USE, f"within {ROLE_DAYS} days", last)
