"""The checklist that was asked for, line by line, and the rows that answer each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from infra.docs.hipaa.evidence import Control

_BACKUPS: Final = ("Data backup plan", "Contingency plan")
_SEGMENTS: Final = ("Network segmentation",)

CHECKLIST: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "Access control and authentication": {
        "Unique user IDs via IdP": ("Unique user identification",),
        "Role-based access control": ("Access authorisation by role",),
        "Multi-factor authentication via IdP": ("Person or entity authentication",),
        "Automatic logoff / session timeout": ("Automatic logoff",),
        "Audit of access logs": ("Activity review", "Log-in monitoring"),
    },
    "Audit controls and logging": {
        "Immutable audit logs (append-only table)": ("Immutable audit log of the application", "Audit controls"),
        "Log retention (6-10 years)": ("Log retention",),
        "Review and alerting on audit logs": ("Activity review", "Log-in monitoring"),
        "Capture: who, what, when, where, outcome": ("Audit controls", "Unique user identification"),
    },
    "Encryption and key management": {
        "Encryption at rest (RDS, S3 with KMS)": ("Encryption at rest",),
        "Encryption in transit (TLS 1.2+)": ("Encryption in transit", "Transmission security"),
        "AWS KMS for key management": ("Encryption at rest", "Secrets"),
        "Tenant-based encryption keys": ("A key per tenant",),
    },
    "Data integrity, backup and recovery": {
        "RDS automated backups (30-day retention)": _BACKUPS,
        "S3 versioning enabled": ("Integrity", "Data backup plan"),
        "Disaster recovery procedures": ("Disaster recovery plan", "Testing and revision of the plan"),
        "Data integrity validation": ("Mechanism to authenticate health information", "Integrity"),
    },
    "Transmission security": {
        "TLS 1.2+ for all communications": ("Transmission security", "Encryption in transit"),
        "VPC network segmentation": _SEGMENTS,
        "Security groups and NACLs": (*_SEGMENTS, "Network access control lists"),
    },
    "De-identification and data minimisation": {
        "Optional de-identification before storage": ("De-identification",),
        "PHI scrubbing utilities": ("Scrubbing of health information",),
        "Minimise PHI in logs": ("No health information in logs, errors and addresses",),
    },
    "VPC and network segmentation": {
        "Private subnets for the database": _SEGMENTS,
        "Public subnets for the API with restricted security groups": _SEGMENTS,
        "NAT gateway for outbound internet access": _SEGMENTS,
    },
    "Business associate agreements": {
        "AWS (RDS, S3, KMS, Bedrock)": ("Agreement with AWS",),
        "Railway": ("Agreement with Railway",),
    },
    "Policies and procedures": {
        "Security policies documentation": ("Policies and procedures", "Documentation"),
        "Incident response procedures": ("Security incident procedures", "Response and reporting"),
        "Data breach notification procedures": ("Breach notification",),
    },
    "Training and oversight": {
        "Security awareness training requirements": ("Security awareness and training", "Training of the workforce"),
        "Periodic security reviews": ("Periodic review of security", "Evaluation"),
    },
    "Periodic audits and penetration testing": {
        "Regular security audits": ("Penetration tests and audits", "Evaluation"),
        "Penetration testing recommendations": ("Penetration tests and audits",),
        "Vulnerability scanning": ("Vulnerability scanning",),
    },
}


def unanswered(controls: Iterable[Control]) -> Iterator[str]:
    """Lines whose rows are not in the table."""
    names = {control.name for control in controls}
    for lines in CHECKLIST.values():
        for line, rows in lines.items():
            for row in rows:
                if row not in names:
                    yield f"checklist: {line!r} is answered by the row {row!r}, which is not in the table"
