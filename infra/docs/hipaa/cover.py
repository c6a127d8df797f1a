"""The first page of an auditor's archive: is it what was signed, what does it not show, how is each piece checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from infra.docs.hipaa.evidence import MEANS, ByTest
from infra.docs.hipaa.exports import Checked, looked_at

NAMESPACE: Final = "signalbox-compliance"

_PAGE: Final = """# {product}: evidence at {commit}

Made on {at:%Y-%m-%d %H:%M} UTC by `signalbox compliance --archive`. {looked_at}

## Is it what was signed?

Beside this archive are its digest and the digest's signature. Ask the signer for the public key by another way than
the archive came, and put it into the first line; `WHO` is any name that you give the signer.

```sh
echo 'WHO ssh-ed25519 AAAA...' > allowed_signers
ssh-keygen -Y verify -f allowed_signers -I WHO -n {namespace} -s {archive}.sha256.sig < {archive}.sha256
sha256sum --check {archive}.sha256
tar -xzf {archive}
cd evidence && sha256sum --check SHA256SUMS
```

## What it does not show

{gaps}
## What is in it

| file | what it is |
| --- | --- |
| [readiness.md](readiness.md), [readiness.csv](readiness.csv) | every paragraph of 45 CFR 164.308 to 164.316, who \
sees to it, and by what evidence: {counts} |
| [docs/THREAT_MODEL.md](docs/THREAT_MODEL.md) | who wants what, what stops them, and what is left |
| [docs/reference/findings.md](docs/reference/findings.md) | rules that do not hold, why that is \
accepted, by whom, until when |
| [docs/](docs/index.md) | everything else that is written about the product |
| component-definition.json, assessment-results.json | the readiness table in OSCAL 1.2.1 |
| templates/ | the CloudFormation templates of the production stage, and the report of the rule packs |
| tests/ | the tests that the rows and the pages name, as they are at this commit |
| sbom.image.json, sbom.repository.json | bills of materials, CycloneDX 1.5, out of the lock files |
{more}| SHA256SUMS | the digest of each file |

| status of a row | means |
| --- | --- |
{statuses}
## How a piece of evidence is checked

| it reads | look |
| --- | --- |
| `AWS::...`: a property | in templates/*.template.json every resource of that type has it, and there is one. \
What objects when it is taken out: `tests/infra/mutations/test_mutations.py` |
| rule NAME | templates/validation-report.json names its pack, and has no finding of the rule \
among `violations` and `suppressedViolations` |
| tests/...::NAME (passed) | its source is here under that path, its outcome in junit.xml. \
To run it again: check out the commit above, then `uv run pytest PATH::NAME` |
| a person: a task | nothing that a machine can see. Ask that person for the record |

Paths that begin with service/ or infra/ are the product's source, at the commit above.
"""


def gaps(checked: Checked) -> Iterator[str]:
    """What a reader could take this archive to show, and it does not.

    Args:
        checked: The table, looked at whole.

    Yields:
        A sentence each.
    """
    if failed := sum(map(len, checked.problems.values())):
        yield f"{failed} claims do not hold. They are the first thing in readiness.md."
    if checked.ran is None:
        yield "The tests were looked up, and not run: beside each stands (not run). There is no junit.xml."
    elif not_run := {
        item.node
        for control in checked.controls
        for item in control.evidence
        if isinstance(item, ByTest) and item.node not in checked.ran
    }:
        yield f"{len(not_run)} of the tests that rows name did not run. Beside each of them stands (did not run)."
    if checked.account is None:
        yield "No account was looked at: templates say what is to be deployed, not what runs. There is no account.json."
    if checked.commit.endswith("-dirty") or checked.commit == "unknown":
        yield "It was made from files that are not committed, so that the same state cannot be had again."
    yield (
        "sbom.image.json has what the image adds to its base, and not the packages of Debian below; the bill of a "
        "release has both."
    )
    yield "How people work: the rows of status customer, and of shared and planned the part that names a person."


def page(checked: Checked, archive: str) -> str:
    """The archive's README.md.

    Args:
        checked: The table, looked at whole.
        archive: Name of the archive.
    """
    statuses = Counter(control.status for control in checked.controls)
    more = "| junit.xml | the tests that ran |\n" if checked.report is not None else ""
    more += "| account.json | what `signalbox verify` found in the account |\n" if checked.account is not None else ""
    return _PAGE.format(
        product=checked.product,
        commit=checked.commit,
        at=checked.at,
        looked_at=looked_at(checked),
        namespace=NAMESPACE,
        archive=archive,
        gaps="".join(f"- {gap}\n" for gap in gaps(checked)),
        counts=", ".join(f"{statuses[status]} {status}" for status in MEANS),
        more=more,
        statuses="".join(f"| {status} | {means} |\n" for status, means in MEANS.items()),
    )
