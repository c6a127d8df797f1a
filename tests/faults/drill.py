"""What every drill has: tenants who read and write, and a row of the table that says what became of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from tests.faults.load import Callers, Outcome, Request, get, kinds, post
from tests.support.database.databases import Database
from tests.support.idp.issuer import Issuer

NOTES = "/api/v1/notes"
READERS = tuple(f"reader{number}" for number in range(4))
WRITERS = tuple(f"writer{number}" for number in range(4))
BROWSERS = tuple(f"browser{number}" for number in range(4))  # read pages of many rows
_ROWS = {**dict.fromkeys(READERS, 5), **dict.fromkeys(BROWSERS, 20)}  # that each has from the beginning
_HEADER = ("fault", "requests", "answers by kind", "recovery s", "rows lost", "rows leaked", "besides")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a drill.

    Attributes:
        fault: Its name.
        answers: How many of each kind.
        recovery: Seconds from the end of the fault to the end of the last answer that was not good.
        lost: Rows that were said to be stored and are not, or that their owner did not get.
        leaked: Rows that another tenant read.
        besides: What else was measured.
    """

    fault: str
    answers: Counter[str]
    recovery: float
    lost: int
    leaked: int
    besides: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        total = str(sum(self.answers.values()))
        return (
            self.fault,
            total,
            _listed(self.answers),
            f"{self.recovery:.1f}",
            str(self.lost),
            str(self.leaked),
            self.besides,
        )


def told_of(outcomes: Iterable[Outcome]) -> str:
    """How many of each kind, as text."""
    return _listed(kinds(outcomes))


def _listed(answers: Counter[str]) -> str:
    return ", ".join(f"{kind}: {number}" for kind, number in sorted(answers.items()))


def promised(row: Row) -> Row:
    """Hold what every drill promises.

    Raises:
        AssertionError: It did not come true.
    """
    assert (row.lost, row.leaked) == (0, 0), table([row])
    wrong = [kind for kind in row.answers if kind.startswith("500") or kind.endswith("shape") or kind == "silent"]
    assert not wrong, table([row])
    return row


@dataclass
class Traffic:
    """Tenants who read and write.

    Attributes:
        database: Where the rows are.
        issuer: Signs their tokens.
    """

    database: Database
    issuer: Issuer
    _numbers: count[int] = field(default_factory=count)
    _callers: list[Callers] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tokens = {tenant: self.issuer.token(tenant) for tenant in (*_ROWS, *WRITERS)}
        self.database.as_superuser(
            "insert into app.note (tenant_id, body) select t, t || ' ' || n from "
            "unnest($1::text[], $2::int[]) owned (t, rows), generate_series(1, rows) n "
            "where not exists (select from app.note where tenant_id = t)",
            list(_ROWS),
            list(_ROWS.values()),
        )

    @property
    def rows(self) -> int:
        """How many were read."""
        return sum(callers.rows for callers in self._callers)

    def token(self, tenant: str) -> str:
        """A token of a tenant."""
        return self._tokens[tenant]

    def callers(self, port: int) -> Callers:
        """Callers of a port, whose rows are accounted for."""
        self._callers.append(Callers(port))
        return self._callers[-1]

    def request(self, _: int = 0) -> Request:
        """One that reads, then one that writes, and so on, of one tenant after the other."""
        number = next(self._numbers)
        tenant = (READERS, WRITERS)[number % 2][number // 2 % 4]
        if number % 2 == 0:
            return self._page(tenant)
        return post(NOTES, self._tokens[tenant], f"{tenant} {time.time_ns()}-{number}")

    def read(self, number: int) -> Request:
        """One that reads a few rows."""
        return self._page(READERS[number % 4])

    def browse(self, number: int) -> Request:
        """One that reads many rows."""
        return self._page(BROWSERS[number % 4])

    def _page(self, tenant: str) -> Request:
        return get(NOTES, self._tokens[tenant], tenant, _ROWS[tenant])

    def row(self, fault: str, outcomes: Iterable[Outcome], ended: float | None = None, besides: str = "") -> Row:
        """What became of it, compared with what is stored.

        Args:
            fault: Name of the drill.
            outcomes: Of all requests.
            ended: When the fault ended; None when that is not a moment.
            besides: What else was measured.
        """
        outcomes = list(outcomes)
        acknowledged = set[str]().union(*(callers.acknowledged for callers in self._callers))
        stored = {row[0] for row in self.database.as_superuser("select body from app.note")}
        bad = [outcome.began + outcome.seconds for outcome in outcomes if not outcome.good]
        recovery = max(0.0, max(bad, default=0.0) - ended) if ended else 0.0
        lost = len(acknowledged - stored) + sum(callers.missing for callers in self._callers)
        leaked = sum(callers.leaked for callers in self._callers)
        assert self.rows, "nothing was read: nothing could have leaked"
        return Row(fault, kinds(outcomes), recovery, lost, leaked, besides)


def table(rows: Iterable[Row]) -> str:
    """Rows as Markdown."""
    lines = [_HEADER, tuple("---" for _ in _HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
