"""What CloudWatch Logs finds with a JSON filter pattern, by the rules of its user guide.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html and its pages on JSON: selectors
with array indexes and ``*`` for all elements, = != < > <= >=, IS TRUE, IS FALSE, IS NULL, EXISTS, NOT EXISTS, && before
||, parentheses, numbers and texts. An asterisk is a wildcard at the beginning or the end of a value, quoted or not; in
its midst it is an asterisk. Where a selector finds nothing, no comparison holds, ``!=`` neither: an alarm must not hang
on it. What is none of this is an error, as it is at PutMetricFilter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*")|(?P<op>&&|\|\||!=|<=|>=|[=<>(){}])|(?P<selector>\$(?:\.[A-Za-z0-9_-]+|\[(?:\d+|\*|"[^"]+")\])+)
    |(?P<word>[A-Za-z0-9_.*@/:+-]+))""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+|\*)\]|\[\"([^\"]+)\"\]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\Z")


class PatternError(ValueError):
    """The pattern is none."""


def compiled(pattern: str) -> Test:
    """A pattern as a question about an event.

    Raises:
        PatternError: CloudWatch Logs would refuse it.
    """
    if len(pattern) > 1024:
        raise PatternError("longer than 1024 characters")
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._tokens, place, text = list[tuple[str, str]](), 0, pattern.rstrip()
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise PatternError(f"unreadable at {text[place : place + 20]!r}")
            self._tokens.append((found.lastgroup, found.group(found.lastgroup)))
            place = found.end()
        self._at = 0

    def whole(self) -> Test:
        self._expect("{")
        test = self._either()
        self._expect("}")
        if self._at != len(self._tokens):
            raise PatternError("something after the end")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("||"):
            tests.append(self._both())
        return lambda event: any(test(event) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("&&"):
            tests.append(self._one())
        return lambda event: all(test(event) for test in tests)

    def _one(self) -> Test:
        if self._take("("):
            test = self._either()
            self._expect(")")
            return test
        kind, selector = self._next()
        if kind != "selector":
            raise PatternError(f"{selector!r} is no selector")
        kind, op = self._next()
        if op.upper() in ("EXISTS", "NOT", "IS"):
            return self._state(selector, op.upper())
        if kind != "op" or op in "(){}":
            raise PatternError(f"{op!r} compares nothing")
        kind, value = self._next()
        if kind not in ("quoted", "word"):
            raise PatternError(f"{value!r} is no value")
        compare = _comparison(op, value.strip('"'), quoted=kind == "quoted")
        return lambda event: any(compare(found) for found in _select(event, selector))

    def _state(self, selector: str, op: str) -> Test:
        if op == "EXISTS":
            return lambda event: bool(_select(event, selector))
        _, word = self._next()
        if (op, word.upper()) == ("NOT", "EXISTS"):
            return lambda event: not _select(event, selector)
        wanted = {"TRUE": True, "FALSE": False, "NULL": None}
        if op == "IS" and word.upper() in wanted:
            return lambda event: any(found is wanted[word.upper()] for found in _select(event, selector))
        raise PatternError(f"{op} {word} is no state")

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise PatternError("it ends in the midst")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        taken = self._at < len(self._tokens) and self._tokens[self._at] == ("op", token)
        self._at += taken
        return taken

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise PatternError(f"{token} is missing")


def _select(event: Any, selector: str) -> list[Any]:
    found = [event]
    for name, index, quoted in _STEP.findall(selector):
        if index == "*":
            found = [inner for one in found if isinstance(one, list) for inner in one]
        elif index:
            found = [one[int(index)] for one in found if isinstance(one, list) and int(index) < len(one)]
        else:
            key = name or quoted
            found = [one[key] for one in found if isinstance(one, dict) and key in one]
    return found


def _comparison(op: str, value: str, *, quoted: bool) -> Test:
    numeric = not quoted and _NUMBER.match(value) is not None
    if op in ("<", ">", "<=", ">="):
        if not numeric:
            raise PatternError(f"{op} compares numbers")
        limit = float(value)
        return (
            lambda found: _is_number(found)
            and {
                "<": found < limit,
                ">": found > limit,
                "<=": found <= limit,
                ">=": found >= limit,
            }[op]
        )
    equal = _same_number(float(value)) if numeric else _same_text(value)
    if op == "=":
        return equal
    if op == "!=":
        return lambda found: not equal(found)
    raise PatternError(f"{op} compares nothing")


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _same_number(value: float) -> Test:
    return lambda found: _is_number(found) and found == value


def _same_text(value: str) -> Test:
    """Both ends may be open; an asterisk between them is one."""
    before, after = value.startswith("*"), value.endswith("*") and len(value) > 1
    middle = re.escape(value[1 if before else 0 : -1 if after else None])
    expression = re.compile(("" if not before else ".*") + middle + (".*" if after else ""), re.DOTALL)
    return lambda found: isinstance(found, str) and expression.fullmatch(found) is not None


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether Amazon EventBridge takes an event for a pattern: exact values and numbers, as far as ours use them."""
    for name, wanted in pattern.items():
        if isinstance(wanted, Mapping):
            inner = event.get(name)
            if not (isinstance(inner, Mapping) and matches(wanted, inner)):
                return False
        elif not any(_fits(one, event.get(name)) for one in wanted):
            return False
    return True


def _fits(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(wanted == value)
    ((kind, (operator, bound)),) = wanted.items()
    if (kind, operator) != ("numeric", "<="):
        raise PatternError(f"not known here: {wanted}")
    return isinstance(value, (int, float)) and value <= bound
