"""Fixtures that several folders use: a real PostgreSQL as RDS presents it, a real issuer."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from tests.support import thrift
from tests.support.cloud.product import install as install_stages

install_stages()  # before anything reads the stages
thrift.compile_once()
thrift.read_authorities_once()
thrift.print_plain_tracebacks()

# ruff: noqa: E402

from infra.local.postgres import LocalPostgres, temporary_postgres
from tests.support.database.databases import Database, Databases
from tests.support.idp.issuer import Issuer
from tests.support.idp.peers import install


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drills", "how long the drills of -m faults last (docs/RELIABILITY.md)")
    group.addoption("--soak", type=int, default=60, metavar="SECONDS", help="of load, while nothing may grow")
    group.addoption("--reads", type=int, default=100_000, metavar="ROWS", help="read while much goes wrong")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """One server for the whole run. A test that stops, kills or pauses it must start one of its own."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: LocalPostgres) -> Databases:
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Database:
    """A database of this test's own, migrated, with the tables of the test's feature."""
    return databases.migrated()


@pytest.fixture(scope="session")
def peers() -> Path:
    """Providers from npm, installed once."""
    return install()


# --- a whole run -----------------------------------------------------------------------------------------------------

MOST_WORKERS = 4  # each has a PostgreSQL of its own
# What takes longest begins first, so that at the end no worker waits for another's last file.
FIRST = (
    "tests/local/test_up.py",
    "tests/infra/test_iam.py",  # before test_deploy.py, which takes away what it looks at
    "tests/infra/",
    "tests/faults/",
    "tests/service/auth/saml/",
    "tests/service/auth/login/",
    "tests/image/",
)
# Folders whose files share what is dear to make, synthesized stages and a local AWS: each goes to one worker.
TOGETHER = ("tests/infra/",)
BY_MARKER_ALONE = ("consumers", "long")  # each has a step of its own in .ci/run
_outcomes: dict[str, bool] = {}


def _is_whole(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr
    )


def _asks_for_them(config: pytest.Config) -> bool:
    return str(config.option.markexpr) in BY_MARKER_ALONE


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: tests wait for processes and for times, and the core is free meanwhile.

    A part of the tests is done sooner in one process than workers are started.
    """
    many = _is_whole(config) or _asks_for_them(config)
    return min((os.cpu_count() or 1) + 1, MOST_WORKERS) if many and not config.option.usepdb else 0


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """File by file, a folder of ``TOGETHER`` as if it were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """A run by markers has few tests, which share nothing."""
    return _ByFile(config, log) if _is_whole(config) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A whole run leaves out what has a marker to be asked for by; naming a test's file runs it, too."""
    if not _is_whole(config):
        return
    left_out = [item for item in items if any(map(item.get_closest_marker, BY_MARKER_ALONE))]
    config.hook.pytest_deselected(items=left_out)
    kept = [item for item in items if item not in left_out]
    items[:] = sorted(kept, key=_turn)


def pytest_collection_finish() -> None:
    """From here on the garbage collector looks at what tests make, not again and again at all that was imported."""
    gc.collect()
    gc.freeze()


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    node = report.nodeid.partition("[")[0]
    passed = report.passed if report.when == "call" else not (report.failed or report.skipped)
    _outcomes[node] = _outcomes.get(node, True) and passed


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A whole run fails when the evidence that docs/HIPAA_READINESS.md names did not run, or was skipped."""
    config = session.config
    if exitstatus != pytest.ExitCode.OK or not _is_whole(config) or config.option.collectonly:
        return
    if hasattr(config, "workerinput"):  # a worker sees a part of the run only
        return
    from infra.docs.hipaa.controls import CONTROLS
    from infra.docs.hipaa.evidence import ByTest

    named = {item.node for control in CONTROLS for item in control.evidence if isinstance(item, ByTest)}
    missing = sorted(node for node in named if not _outcomes.get(node))
    if missing:
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"named by docs/HIPAA_READINESS.md, but not run or skipped: {', '.join(missing)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
