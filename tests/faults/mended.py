"""For each promise of docs/RELIABILITY.md: the line that makes it hold, and the drill that fails without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mended:
    """A line that was written because of a fault.

    Attributes:
        name: For ``-k``.
        drill: What fails without it.
        file: Where it is.
        line: It, as it stands there once, without its indentation.
        without: What takes its place; "" takes it out.
    """

    name: str
    drill: str
    file: str
    line: str
    without: str = "pass"

    def taken_out_of(self, tree: Path) -> None:
        """Change a copy of the checkout.

        Args:
            tree: The copy.
        """
        file = tree / self.file
        before, line, after = self.parts(tree)
        indentation = line[: len(line) - len(line.lstrip())]
        file.write_text(before + (f"{indentation}{self.without}\n" if self.without else "") + after)

    def parts(self, tree: Path) -> tuple[str, str, str]:
        """What is before the line, the line, and what is behind it.

        Args:
            tree: A checkout, or a copy.

        Raises:
            AssertionError: It is not there, or more than once.
        """
        lines = (tree / self.file).read_text().splitlines(keepends=True)
        places = [place for place, line in enumerate(lines) if line.strip() == self.line]
        assert len(places) == 1, f"{self.name}: {self.file} has the line {len(places)} times: {self.line}"
        (place,) = places
        return "".join(lines[:place]), lines[place], "".join(lines[place + 1 :])


_FAULTS, _DATABASE, _HTTP, _AWS = "tests/faults", "tests/service/database", "tests/service/http", "tests/service/aws"
_REDONE, _FAILURES = f"{_DATABASE}/test_redone.py", "service/database/failures.py"

MENDED = (
    # --- outages
    Mended(
        "wrapped",
        f"{_REDONE}::test_a_login_that_a_database_does_not_let_in_is_an_outage",
        _FAILURES,
        "except Exception as failure:  # some of it wrapped; nothing was asked for yet that could be wrong",
        "except OSError as failure:",
    ),
    Mended(
        "unknown-failure",
        f"{_REDONE}::test_what_the_database_says_is_the_callers_or_ours_or_else_an_outage[SYS_002]",
        _FAILURES,
        "return next((_MEANING[state[:end]] for end in (5, 2) if state[:end] in _MEANING), errors.DATABASE_DOWN)",
        "return next((_MEANING[state[:end]] for end in (5, 2) if state[:end] in _MEANING), errors.INTERNAL)",
    ),
    Mended(
        "rolled-back",
        f"{_REDONE}::"
        "test_nothing_is_called_stored_that_was_rolled_back_after_a_failure_that_a_handler_passes_over[wrong]",
        "service/database/tenant.py",
        'if self.committing and done != "COMMIT":  # the server rolls back then, and does not call it a failure',
        "if False:",
    ),
    Mended(
        "outrun-type",
        f"{_REDONE}::test_a_type_that_the_schema_outran_is_read_anew",
        "service/database/dialect.py",
        "self._invalidate_schema_cache()  # type: ignore[no-untyped-call]  # of types, too: SQLAlchemy does of plans",
    ),
    Mended(
        "read-only",
        f"{_FAULTS}/test_database.py::test_a_database_that_takes_no_writes",
        _FAILURES,
        '"25006": errors.DATABASE_DOWN,  # the server is read-only: a primary that was demoted',
        "",
    ),
    Mended(
        "useless",
        f"{_REDONE}::test_a_connection_to_a_server_that_takes_no_writes_leaves_the_pool",
        _FAILURES,
        '_USELESS = ("08", "25006", "25P03", "25P04", "26", "3D", "42P05", "57P", "XX")',
        '_USELESS = ("08",)',
    ),
    Mended(
        "cut",
        f"{_REDONE}::test_a_connection_that_is_lost_before_the_tenant_is_named_is_replaced_once[1-acme]",
        "service/database/session.py",
        "if isinstance(failure, TimeoutError):",
        "if True:",
    ),
    Mended(
        "outrun",
        f"{_REDONE}::test_a_plan_that_the_schema_outran_is_made_again[connection]",
        "service/database/dialect.py",
        "if tenant is None:",
        "if True:",
    ),
    Mended(
        "wrong-password",
        f"{_REDONE}::test_a_password_that_is_wrong_is_tried_by_one_at_a_time_and_after_a_pause",
        "service/database/engine.py",
        "self._refused = (time.monotonic(), failure)",
    ),
    Mended(
        "outcome",
        f"{_DATABASE}/test_unknown.py::test_a_lost_answer_to_a_commit_is_told_as_unknown[POST]",
        _FAILURES,
        "return OutcomeUnknown()",
    ),
    Mended(
        "idempotency",
        f"{_DATABASE}/test_idempotency.py::test_a_repeat_after_an_unknown_outcome_is_stored_once_whoever_takes_it",
        "service/database/idempotency.py",
        "raise Instead(await _answer_of_then(session, named, digest))",
    ),
    # --- isolation
    Mended(
        "policy",
        f"{_FAULTS}/test_endurance.py::"
        "test_no_row_reaches_another_tenant_while_statements_fail_callers_hang_up_and_connections_are_cut",
        "service/database/rls.py",
        'f"using (tenant_id = {_CURRENT_TENANT}) with check (tenant_id = {_CURRENT_TENANT})"',
        'f"using (true) with check (tenant_id = {_CURRENT_TENANT})"',
    ),
    # --- health
    Mended(
        "latch",
        f"{_AWS}/test_bounds.py::"
        "test_a_secret_that_was_read_serves_while_the_store_is_down_and_is_read_again_behind_the_requests",
        "service/aws/secrets.py",
        "for entry in self._entries.values():",
        "for entry in ():",
    ),
    Mended(
        "one-provider",
        f"{_FAULTS}/test_database.py::test_a_provider_that_was_never_read_is_told_and_keeps_no_request_away",
        "service/auth/feature.py",
        'return "unavailable" if all(state == "unavailable" for state in found) else "stale"',
        'return "unavailable"',
    ),
    Mended(
        "no-connections",
        f"{_DATABASE}/test_outage.py::test_a_server_without_free_connections_is_not_ready_until_it_has_some",
        "service/database/probe.py",
        'return "unavailable" if pool.failing else "ok"',
        'return "ok"',
    ),
    # --- stopping
    Mended(
        "lame-duck",
        f"{_FAULTS}/test_restarts.py::test_callers_who_mind_readiness_notice_nothing_of_a_restart",
        "service/http/server.py",
        "await self._wait(self._lame_duck, lambda: False)",
    ),
    Mended(
        "cut-and-told",
        f"{_HTTP}/test_stopping.py::test_what_does_not_end_is_cut_and_told_so",
        "service/http/server.py",
        "await self._cut()",
    ),
    Mended(
        "gone",
        f"{_HTTP}/test_stopping.py::test_what_does_not_end_is_cut_and_told_so",
        "service/http/server.py",
        "os._exit(0)  # what we were told to do; another code would have the platform start it again",
    ),
    # --- overload
    Mended(
        "replica",
        f"{_HTTP}/test_overload.py::"
        "test_what_is_over_the_limit_is_refused_but_not_what_the_platform_judges_the_replica_by",
        "service/http/protocol.py",
        "if not admitted:",
        "if False:",
    ),
    Mended(
        "tenant",
        f"{_FAULTS}/test_overload.py::test_one_tenants_flood_and_slow_queries_harm_no_other",
        "service/http/admission.py",
        "if users < self._running:",
        "if True:",
    ),
    # --- the edge of HTTP
    Mended(
        "head",
        f"{_HTTP}/test_bytes.py::test_however_much_is_sent_the_answer_is_read_and_the_memory_is_not_needed",
        "service/http/protocol.py",
        "if self._fed > MAX_HEAD_BYTES:  # of a head, or of what stands between the pieces of a body",
        "if False:",
    ),
    Mended(
        "slow-head",
        f"{_FAULTS}/test_clients.py::test_clients_who_stall_are_refused_and_others_do_not_notice",
        "service/http/protocol.py",
        "if age > HEAD_SECONDS:",
        "if False:",
    ),
    Mended(
        "slow-body",
        f"{_FAULTS}/test_clients.py::test_clients_who_stall_are_refused_and_others_do_not_notice",
        "service/http/protocol.py",
        "elif idle > body_idle or age > self.server_state.body_seconds:",
        "elif False:",
    ),
    # --- migrations
    Mended(
        "turn",
        f"{_DATABASE}/test_online.py::"
        "test_runners_that_die_in_mid_build_are_followed_by_the_next_which_completes_the_change",
        "migrations/turn.py",
        'while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK, timeout=_ASK_TIMEOUT):',
        "while False:",
    ),
    Mended(
        "half-built",
        f"{_DATABASE}/test_online.py::"
        "test_runners_that_die_in_mid_build_are_followed_by_the_next_which_completes_the_change",
        "service/database/online.py",
        "if found is not None and not found[1]:",
        "if False:",
    ),
    # --- AWS
    Mended(
        "aws-seconds",
        f"{_AWS}/test_bounds.py::test_an_answer_of_aws_ends[in_the_body-http]",
        "service/aws/bounds.py",
        "self._timer.start()",
    ),
    Mended(
        "aws-bytes",
        f"{_AWS}/test_bounds.py::test_an_answer_of_aws_ends[without_end-http]",
        "service/aws/bounds.py",
        "if len(content) > MAX_BYTES:",
        "if False:",
    ),
    Mended(
        "session-key",
        f"{_AWS}/test_bounds.py::test_a_session_key_that_is_too_short_is_refused_from_the_store_too",
        "service/auth/login/sealing.py",
        'raise ApiError(SECRETS_DOWN, "session_key_too_short")',
    ),
)
