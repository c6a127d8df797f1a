"""What a migration calls to change a big table while requests go on: nothing here holds a lock for long.

    def upgrade() -> None:
        alter("note", "add column size integer")
        backfill("note", assign="size = octet_length(body)", missing="size is null")
        build_index("note_size", "note", ("tenant_id", "size"))

Each call commits what the migration did before it, and then each of its own steps. A migration that was broken off is
run again from its beginning, so all that stands in it must be safe to do again; these calls are (``alter`` where its
statement is: ``add column if not exists``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from alembic import op
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from service.database.failures import sqlstate
from service.database.rls import SCHEMA
from service.log import get_logger

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
LOCK_WAIT: Final = "1s"  # whoever asks for the table meanwhile stands behind us for so long
LOCK_TRIES: Final = 60
LOCK_PAUSE: Final = 1.0  # seconds in which those who stood behind us go on
BATCH: Final = 1000  # rows that one statement changes: a few milliseconds in which they are locked
_AGAIN = ("55P03", "40P01")  # the lock was not to be had in time; a deadlock that was resolved at our expense

INVALID: Final = """
    select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid
    where not i.indisvalid and c.relnamespace::regnamespace::text in ('app', 'sign_in') order by 1
    """
_INDEX = """
    select i.indrelid::regclass::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relname = $1 and c.relnamespace = $2::text::regnamespace
    """
_KEY = """
    select quote_ident(a.attname) from pg_index i, unnest(i.indkey) with ordinality as k (number, place)
    join pg_attribute a on a.attnum = k.number
    where i.indrelid = $1::text::regclass and i.indisprimary and a.attrelid = i.indrelid order by k.place
    """

log = get_logger(__name__)


class TableBusyError(Exception):
    """A long transaction kept the table; nothing was changed."""


def alter(table: str, change: str) -> None:
    """``ALTER TABLE`` without a queue: a wait for the lock is given up after a second, and begun again later.

    While one statement waits for a lock, every request of that table waits behind it.

    Args:
        table: Of the schema ``app``.
        change: What follows the table's name.

    Raises:
        TableBusyError: The lock was not to be had for two minutes.
    """
    with _committing() as connection:
        _briefly(connection, f"alter table {_named(table)} {change}")


def build_index(
    name: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str | None = None
) -> None:
    """Build an index concurrently; one that a run left half built is removed and built again.

    Args:
        name: Of the index.
        table: Of the schema ``app``.
        columns: Names, or expressions; a unique index has ``tenant_id`` among them.
        unique: Whether it is a key.
        where: Of a partial index.

    Raises:
        ValueError: It would tell one tenant of another's rows, or the name is another table's index.
    """
    if unique and "tenant_id" not in columns:
        raise ValueError(f"{name} must contain tenant_id, or one tenant learns of another's rows")
    wanted, index = _named(table), _named(name)
    with _committing() as connection:
        found = connection.exec_driver_sql(_INDEX, (name, SCHEMA)).one_or_none()
        if found is not None and found[0] != wanted:
            raise ValueError(f"the index {name} is there already, and belongs to {found[0]}")
        if found is not None and not found[1]:
            log.warning("index_half_built", index=name)
            connection.exec_driver_sql(f"drop index concurrently {index}")
        elif found is not None:
            return
        kind = "unique index" if unique else "index"
        partial = f" where {where}" if where else ""
        connection.exec_driver_sql(f"create {kind} concurrently {name} on {wanted} ({', '.join(columns)}){partial}")


def backfill(table: str, *, assign: str, missing: str, batch: int = BATCH) -> int:
    """Change the rows of every tenant, a batch at a time, each its own transaction, along the primary key.

    Row security is forced on the owner as well, which would find no row to change, and say so to no one. For as long
    as it takes, a policy lets the migrating login at them, and no other.

    Args:
        table: Of the schema ``app``, with a primary key.
        assign: What follows ``set``.
        missing: Which rows still need it: a run that was broken off goes on with those.
        batch: Rows that one statement looks at.

    Returns:
        How many rows were changed.

    Raises:
        ValueError: The table has no primary key to go along.
        TableBusyError: Rows of a batch stayed locked.
    """
    name = _named(table)
    with _committing() as connection:
        columns = connection.exec_driver_sql(_KEY, (name,)).scalars().all()
        if not columns:
            raise ValueError(f"{name} has no primary key to go along")
        with _let_in(connection, name):
            return _in_batches(connection, name, columns, f"set {assign}", missing, batch)


def _in_batches(
    connection: Connection, name: str, columns: Sequence[str], assign: str, missing: str, batch: int
) -> int:
    key = ", ".join(columns)
    after = f"where ({key}) > ({', '.join(f'${place}' for place in range(1, len(columns) + 1))})"
    backwards = ", ".join(f"{column} desc" for column in columns)
    changed, last = 0, ()
    while True:
        # The names are ours, the texts are the migration's own.
        statement = f"""
            with batch as (select {key} from {name} {after if last else ""} order by {key} limit {int(batch)}),
            done as (update {name} {assign} where ({key}) in (table batch) and ({missing}) returning 1)
            select (select count(*) from done), {key} from batch order by {backwards} limit 1
            """  # noqa: S608
        row = _briefly(connection, statement, last)
        if row is None:
            return changed
        changed, last = changed + row[0], tuple(row[1:])


@contextmanager
def _let_in(connection: Connection, name: str) -> Iterator[None]:
    drop = f"drop policy if exists backfill on {name}"
    _briefly(connection, drop)  # of a run that was broken off
    _briefly(connection, f"create policy backfill on {name} to current_user using (true) with check (true)")
    try:
        yield
    except BaseException:
        with suppress(DBAPIError, TableBusyError):  # what went wrong first is what counts
            _briefly(connection, drop)
        raise
    _briefly(connection, drop)


@contextmanager
def _committing() -> Iterator[Connection]:
    """Outside of a transaction: each statement commits by itself."""
    with op.get_context().autocommit_block():
        yield op.get_bind()


def _briefly(connection: Connection, statement: str, values: tuple[Any, ...] = ()) -> Any:
    """Run a statement that gives up soon when it gets no lock, until it gets one; its first row."""
    connection.exec_driver_sql(f"set lock_timeout = '{LOCK_WAIT}'")
    try:
        for attempt in range(LOCK_TRIES):
            if attempt:
                time.sleep(LOCK_PAUSE)
            try:
                result = connection.exec_driver_sql(statement, values)
                return result.first() if result.returns_rows else None
            except DBAPIError as failure:
                if sqlstate(failure) not in _AGAIN:
                    raise
    finally:
        if not connection.invalidated:
            with suppress(DBAPIError):
                connection.exec_driver_sql("set lock_timeout = 0")
    raise TableBusyError(
        f"{LOCK_TRIES} times there was no lock within {LOCK_WAIT}: a long transaction keeps the table. End it or wait, "
        "and migrate again; the first of 'table pg_stat_activity' by xact_start is the oldest."
    )


def _named(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError("a name is lower case letters, digits and _")
    return f"{SCHEMA}.{name}"
