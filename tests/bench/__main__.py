"""``uv run --group bench python -m tests.bench``: the table; ``--json`` and ``--plot`` also write files.

CPU of the server process, not time: it does not depend on the client, and little on what else the machine does. The
ratio is that of the bare FastAPI route to the variant in the same round (more is better), so that runs on different
machines can be compared. docs/PERFORMANCE.md has the results.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.local.postgres import temporary_postgres
from tests.bench.measure import LOAD_CORE, Row, bench, measure, pin
from tests.bench.variants import BARE, VARIANTS
from tests.support.database.databases import Databases
from tests.support.idp.issuer import Issuer

_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "python-jose", "cryptography")


def machine() -> dict[str, object]:
    """What it was measured on."""
    names = re.findall(r"model name\s*: (.*)", _text("/proc/cpuinfo")) or [platform.processor()]
    packages = {name: importlib.metadata.version(name) for name in (*_PACKAGES, "asyncpg", "sqlalchemy")}
    return {
        "processor": names[0],
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": packages,
    }


def _text(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def table(rows: Sequence[Row]) -> str:
    """For a terminal and for Markdown."""
    lines = ["| variant | CPU µs | ratio | spread | p50 ms | p99 ms |", "|---|---|---|---|---|---|"]
    for row in rows:
        name = f"{row.name} ({row.to_base:.2f} times the CPU of the one above)" if row.to_base else row.name
        cells = (f"{row.cpu_us:.0f}", f"{row.ratio:.2f}", f"{row.spread:.2f}", f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """A bar for each variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.4 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    names = [row.name for row in rows][::-1]
    colours = ["#1f6feb" if name.startswith("Signalbox") else "#8b949e" for name in names]
    axes.barh(names, [row.ratio for row in rows][::-1], color=colours)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("CPU of a bare FastAPI route / CPU of the variant (more is better)")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each variant in each round")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default="", help="measure the variants whose name or server holds this text, too")
    parser.add_argument("--root", type=Path, help="folder of another checkout, to measure its service")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    variants = [v for v in VARIANTS if v.name == BARE or re.search(given.only, f"{v.name} {v.server}", re.IGNORECASE)]
    options = {"connections": given.connections} | ({"root": given.root.resolve()} if given.root else {})
    pin(os.getpid(), LOAD_CORE)  # PostgreSQL and the issuer are started from here, and stay here too
    with (
        tempfile.TemporaryDirectory() as logs,
        Issuer() as issuer,
        temporary_postgres() as server,
        bench(issuer, Databases(server).migrated(), Path(logs), **options) as found,
    ):
        rows = measure(found, rounds=given.rounds, seconds=given.seconds, variants=variants)
    about = machine() | {"rounds": given.rounds, "seconds": given.seconds, "connections": given.connections}
    print(table(rows), f"\n{json.dumps(about)}", sep="\n")  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps({"about": about, "rows": [row.as_dict() for row in rows]}, indent=1) + "\n")
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
