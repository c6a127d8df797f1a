"""Sessions that were ended before their tokens were: what a single logout leaves for every replica to see.

Out of the application's reach but for two functions, like the tables of 0002. Only digests are kept.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op

from service.database.rls import names

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FUNCTIONS = {
    "end_session(digest bytea, seconds integer) returns void": """
        delete from sign_in.ended where digest in (
            select e.digest from sign_in.ended e where e.expires_at <= now() limit 100 for update skip locked);
        insert into sign_in.ended values ($1, now(), now() + make_interval(secs => least($2, 86400)))
            on conflict (digest) do update set ended_at = excluded.ended_at, expires_at = excluded.expires_at;
        """,
    "ended_sessions(most integer) returns table (digest bytea, ended_at timestamptz)": """
        select e.digest, e.ended_at from sign_in.ended e where e.expires_at > now() order by e.ended_at desc limit $1;
        """,
}


def upgrade() -> None:
    """Make them, owned by the role nobody logs in as."""
    op.execute("""
        create table sign_in.ended (
            digest bytea primary key check (octet_length(digest) = 32),
            ended_at timestamptz not null,
            expires_at timestamptz not null
        )
        """)
    op.execute("create index on sign_in.ended (expires_at)")
    op.execute("alter table sign_in.ended enable row level security")
    op.execute("alter table sign_in.ended force row level security")
    op.execute(f"create policy functions_only on sign_in.ended to {names().owner_role} using (true) with check (true)")
    op.execute(f"alter table sign_in.ended owner to {names().owner_role}")
    for signature, body in _FUNCTIONS.items():
        name = f"sign_in.{signature.partition(' returns ')[0]}"
        # An empty search_path: with one that a caller can set, a caller could have the owner call its own functions.
        options = "language sql security definer set search_path = ''"
        op.execute(f"create function sign_in.{signature} {options} as $sql${body}$sql$")
        op.execute(f"alter function {name} owner to {names().owner_role}")
        op.execute(f"revoke all on function {name} from public")
        op.execute(f"grant execute on function {name} to {names().app_role}")


def downgrade() -> None:
    """Remove them; tokens of ended sessions then live until they expire by themselves."""
    for signature in _FUNCTIONS:
        op.execute(f"drop function sign_in.{signature.partition(' returns ')[0]}")
    op.execute("drop table sign_in.ended")
