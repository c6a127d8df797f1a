"""One word for one thing: messages, help and settings have none of the words that the glossary replaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from infra.cli.main import main
from infra.docs.commands import commands
from service import settings
from service.feature import all_errors, settings_of
from service.product import FEATURES
from tests.support.api.server import ROOT

# Words that mean one thing only, so that each place where one stands is a mistake; "user" or "client" may be right.
_REPLACED = ("IdP", "SSO", "PHI", "pod", "downtime", "boilerplate", "scaffold", "logout")
# Of a sentence that does not say who: each has a name ("a caller", "a user", "an operator", "every caller").
_NO_ONE = re.compile(r"\b(nobody|somebody|whoever|anybody|everybody)\b", re.IGNORECASE)
# What other products call their own.
_THEIRS = re.compile(r"SAML logout|single logout|single_logout|/logout")


def texts() -> Iterator[tuple[str, str]]:
    for row in all_errors(FEATURES).values():
        yield row.code, f"{row.message} {row.detail} {row.action}"
    for variable in settings.variables(settings_of(FEATURES)):
        yield variable.name, variable.description
    assert isinstance(main, click.Group)
    for name, command in commands(main, "signalbox"):
        helps = [param.help or "" for param in command.params if isinstance(param, click.Option)]
        yield name, " ".join([command.help or "", *helps])


@pytest.mark.parametrize("word", _REPLACED)
def test_no_message_help_or_setting_has_a_word_that_the_glossary_replaces(word: str) -> None:
    assert re.search(rf"\b{word}\b", (ROOT / "docs/GLOSSARY.md").read_text(), re.IGNORECASE)
    found = rf"\b{word}\b"
    assert [where for where, text in texts() if re.search(found, _THEIRS.sub("", text))] == []
    assert len(list(texts())) > 100


def test_every_message_help_and_setting_says_who() -> None:
    assert [where for where, text in texts() if _NO_ONE.search(text)] == []


def test_every_option_says_what_it_does() -> None:
    assert isinstance(main, click.Group)
    silent = [
        f"{name} {param.opts[0]}"
        for name, command in commands(main, "signalbox")
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]
    assert silent == []


def test_the_glossary_is_in_order() -> None:
    rows = re.findall(r"(?m)^\| ([a-z][^|]*) \| [^|]+ \| [^|]*\|$", (ROOT / "docs/GLOSSARY.md").read_text())
    head, *words = rows
    assert head == "word"
    assert len(words) > 25
    assert words == sorted(words)
