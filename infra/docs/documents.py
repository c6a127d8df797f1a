"""Documents made from the tables of the code: ``signalbox docs`` writes them, ``--check`` fails when one has drifted.

Each is a file of its own, made whole. Where a feature of the adopter's adds a row and a newer template changes another,
the file is made anew after the merge; there is no text of anybody's in it that could be lost (.gitattributes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from infra.docs import diagrams, events, openapi, tables, threats
from infra.docs.hipaa.page import page
from infra.docs.supply import page as supply_page

Documents: TypeAlias = Mapping[str, Callable[[], str]]

DOCUMENTS: Final[Documents] = MappingProxyType(
    {
        ".env.example": tables.env_example,
        "docs/ERROR_CODES.md": tables.error_codes,
        "docs/HIPAA_AUDIT_EVENTS.md": events.page,
        "docs/HIPAA_READINESS.md": page,
        "docs/THREAT_MODEL.md": threats.page,
        "docs/reference/alarms.md": tables.alarms,
        "docs/reference/causes.md": tables.causes,
        "docs/reference/changes.md": tables.effects,
        "docs/reference/costs.md": tables.prices,
        "docs/reference/findings.md": tables.findings,
        openapi.CURRENT: openapi.page,
        "docs/reference/outputs.md": tables.outputs,
        "docs/reference/presets.md": tables.presets,
        "docs/reference/stages.md": tables.stages,
        "docs/reference/supply.md": supply_page,
        "docs/reference/variables.md": tables.variables,
        **diagrams.pictures(),
    }
)


def stale(root: Path, more: Documents = MappingProxyType({})) -> Iterator[str]:
    """Paths of the files that are not as they would be made now.

    Args:
        root: The checkout.
        more: What only those above us can make, besides.
    """
    for name, make in {**DOCUMENTS, **more}.items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != make():
            yield name


def write(root: Path, more: Documents = MappingProxyType({})) -> list[str]:
    """Make what is stale.

    Args:
        root: The checkout.
        more: What only those above us can make, besides.

    Returns:
        Paths of the files that changed.
    """
    changed = list(stale(root, more))
    for name in changed:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text({**DOCUMENTS, **more}[name](), encoding="utf-8")
    return changed
