"""Judges mutations that mutmut makes, many times as fast as it does: docs/MUTATIONS.md.

    nice uv run --with mutmut==3.8.1 python .ci/mutations.py --every 7 --from 3 'service.auth.saml.rules.*'

mutmut starts pytest anew for each mutation, and collects every test that comes to it. Here pytest collects once; each
mutation is a fork of that process, which runs the tests that come to the mutated function until one fails: first those
that noticed another mutation of the function or the module, then the quickest. What is mutated, by which tests, and
what is left out are mutmut's own settings ([tool.mutmut]).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from mutmut.__main__ import create_mutants
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.file_utils import (
    copy_also_copy_files,
    copy_src_dir,
    setup_source_paths,
    walk_mutatable_files,
)
from mutmut.utils.format_utils import mangled_name_from_mutant_name

_MUTATED = re.compile(r" *(?:async )?def (\w+__mutmut_\w+)\(")
_MYPY, _NOTICED, _ENDLESS, _MISSED, _UNTESTED = "mypy", "noticed", "did not end", "not noticed", "no test"
_NOTHING = "nothing.x_nothing__mutmut_0"  # judged first: a test must not fail because it has run before
_KNOWN = Path("judged-tests.json")  # which test comes where, and how long it takes; in mutants/


def main() -> int:
    options = argparse.ArgumentParser(description="Judge mutations.")
    options.add_argument("names", nargs="*", default=["*"], help="patterns of names; all without")
    options.add_argument("--every", type=int, default=1, help="only every so many-th of a module's")
    options.add_argument("--from", type=int, default=0, dest="first", help="begin with the so many-th of them")
    options.add_argument("--children", type=int, default=2, help="how many are judged at once")
    options.add_argument("--out", type=Path, default=Path("mutants/judged.json"), help="outcomes by name")
    chosen = options.parse_args()

    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    create_mutants(os.cpu_count() or 1)
    out = chosen.out.resolve()
    outcomes: dict[str, str] = json.loads(out.read_text()) if out.exists() else {}
    names = [
        name
        for listed in _all_names().values()
        for name in listed[chosen.first :: chosen.every]
        if any(fnmatch(name, pattern) for pattern in chosen.names)
    ]
    os.chdir("mutants")
    refused = set(_refused_by_mypy())
    outcomes |= {name: _MYPY for name in names if name in refused}
    # What was noticed once stays noticed: tests are added, and mutants/ is made anew when the code has changed.
    left = [name for name in names if outcomes.get(name) not in (_MYPY, _NOTICED, _ENDLESS)]
    judge = _Judge(left, chosen.children, outcomes, out)
    arguments = [*config().pytest_add_cli_args, *config().pytest_add_cli_args_test_selection]
    failed = pytest.main(["--rootdir=.", "-q", *arguments], plugins=[judge])
    judge.save()
    _print_table(names, outcomes)
    return int(failed)


def _all_names() -> Mapping[str, list[str]]:
    found = {}
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        found[str(path)] = list(data.exit_code_by_key)
    return found


def _refused_by_mypy() -> Iterator[str]:
    """The mutations that CI's type checker would refuse; of a mutated file, a line tells which one."""
    checked = subprocess.run(config().type_check_command, capture_output=True, text=True, check=False)
    lines: dict[str, list[str]] = {}
    for report in map(json.loads, filter(None, checked.stdout.splitlines())):
        if report["severity"] != "error":
            continue
        path = report["file"]
        text = lines.setdefault(path, Path(path).read_text().splitlines())
        name = next(found[1] for line in reversed(text[: report["line"]]) if (found := _MUTATED.match(line)))
        if name.endswith("_orig"):
            raise SystemExit(f"mypy refuses what is not mutated: {report}")
        yield f"{path.removesuffix('.py').replace('/', '.')}.{name}"


class _Judge:
    """Instead of running the tests: which of them come where, and then each mutation."""

    def __init__(self, names: list[str], children: int, outcomes: dict[str, str], out: Path) -> None:
        self._names, self._children, self._outcomes, self._out = names, children, outcomes, out
        self._running: dict[int, tuple[str, int]] = {}  # the name, and where the child writes which test noticed it
        self._noticed_by: dict[str, list[str]] = {}  # by function and by module, the latest first
        self._came: dict[str, list[str]] = {}
        self._seconds: dict[str, float] = {}

    def save(self) -> None:
        self._out.write_text(json.dumps(self._outcomes, indent=0, sort_keys=True))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        if _KNOWN.exists():
            known = json.loads(_KNOWN.read_text())
            self._came, self._seconds = known["came"], known["seconds"]
        set_mutant_under_test("stats")
        unknown = [item for item in session.items if item.nodeid not in self._seconds]
        for item in unknown:
            self._follow(item)
        _KNOWN.write_text(json.dumps({"came": self._came, "seconds": self._seconds}))
        self._begin(_NOTHING, unknown)
        while self._running:
            self._wait()
        if self._outcomes.pop(_NOTHING) == _NOTICED:
            raise SystemExit("a test that has run before fails with nothing mutated: it cannot judge")
        by_function: dict[str, list[pytest.Item]] = {}
        for nodeid in sorted(items, key=self._seconds.__getitem__):
            for function in self._came[nodeid]:
                by_function.setdefault(function, []).append(items[nodeid])
        gc.freeze()
        begun = time.monotonic()
        for done, name in enumerate(self._names, 1):
            while len(self._running) >= self._children:
                self._wait()
            self._begin(name, by_function.get(mangled_name_from_mutant_name(name), []))
            if done % 50 == 0:
                sys.stdout.write(f"{done} of {len(self._names)} after {time.monotonic() - begun:.0f} s\n")
                sys.stdout.flush()
                self.save()
        while self._running:
            self._wait()
        return True

    def _follow(self, item: pytest.Item) -> None:
        state()._stats.clear()
        begun = time.process_time()
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
            raise SystemExit(f"{item.nodeid} fails with nothing mutated")
        self._seconds[item.nodeid] = time.process_time() - begun
        self._came[item.nodeid] = sorted(state()._stats)

    def _begin(self, name: str, items: list[pytest.Item]) -> None:
        if not items:
            self._outcomes[name] = _UNTESTED
            return
        items = sorted(items, key=self._rank(name))
        reads, writes = os.pipe()
        if child := os.fork():
            os.close(writes)
            self._running[child] = name, reads
            return
        seconds = 10 + 5 * int(sum(self._seconds[item.nodeid] for item in items))
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds,) * 2)
        signal.alarm(20 * seconds)  # by the clock, on a machine that is busy with other things
        set_mutant_under_test(name)
        first = _first_that_fails(items)
        os.write(writes, first.encode())
        os._exit(bool(first))

    def _rank(self, name: str) -> Callable[[pytest.Item], tuple[int, ...]]:
        order = [self._noticed_by.get(group, []) for group in _groups(name)]
        ranks = [{nodeid: rank for rank, nodeid in enumerate(listed)} for listed in order]
        return lambda item: tuple(rank.get(item.nodeid, len(rank)) for rank in ranks)

    def _wait(self) -> None:
        child, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        name, reads = self._running.pop(child)
        with os.fdopen(reads, "rb") as told:
            by = told.read().decode()
        for group in _groups(name) if by else ():
            listed = self._noticed_by.setdefault(group, [])
            listed[:] = [by, *(other for other in listed if other != by)]
        self._outcomes[name] = {0: _MISSED, 1: _NOTICED}.get(code, _ENDLESS)
        if code != 1 and name != _NOTHING:
            sys.stdout.write(f"{name}: {self._outcomes[name]}\n")


def _groups(name: str) -> tuple[str, str]:
    """A mutation's function and module."""
    return mangled_name_from_mutant_name(name), _module(name)


def _module(name: str) -> str:
    return re.split(r"\.(?:x_|x\u01c1)", name)[0]


def _first_that_fails(items: list[pytest.Item]) -> str:
    """Its id; empty when all pass."""
    running = ""
    try:
        for item, after in zip(items, [*items[1:], None], strict=True):
            running = item.nodeid
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=after)):
                return running
    except BaseException:
        return running
    return ""


def _print_table(names: Iterable[str], outcomes: Mapping[str, str]) -> None:
    table: dict[str, Counter[str]] = {}
    for name in names:
        for row in (_module(name), "all"):
            table.setdefault(row, Counter())[outcomes[name]] += 1
    kinds = (_MYPY, _NOTICED, _ENDLESS, _MISSED, _UNTESTED)
    sys.stdout.write(f"| module | {' | '.join(kinds)} |\n|{'---|' * 6}\n")
    for row in sorted(table, key=lambda row: (row == "all", row)):
        sys.stdout.write(f"| {row} | {' | '.join(str(table[row][kind]) for kind in kinds)} |\n")


if __name__ == "__main__":
    sys.exit(main())
