"""The order that docs/PERFORMANCE.md reports, seen with a short run: no time is asserted, and no ratio to a decimal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.measure import bench, measure
from tests.bench.variants import BARE, MODEL, NEW_RSA, VARIANTS
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="the servers and the load take a core each")
def test_a_seen_token_costs_less_than_a_new_one(tmp_path: Path, issuer: Issuer, database: Database) -> None:
    """CPU of the servers alone is compared, in rounds: what else the machine does meets all of them."""
    nothing = VARIANTS[0]
    chosen = [nothing, *(v for v in VARIANTS if v.name in (BARE, MODEL, NEW_RSA))]
    with bench(issuer, database, tmp_path, connections=8, new_tokens=200) as found:
        ratio = {row.name: row.ratio for row in measure(found, rounds=3, seconds=0.2, variants=chosen)}
    assert ratio[nothing.name] > 1.2
    assert ratio[MODEL] > 1.2 * ratio[NEW_RSA]
    assert ratio[MODEL] > 0.3
