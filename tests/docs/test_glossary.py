"""One word for one thing: messages, help and settings have none of the words that the glossary replaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from infra.aws.alarms import LOG_ALARMS, METRIC_ALARMS
from infra.cli.main import main
from infra.docs.commands import commands
from infra.docs.events import AUDIT
from service import settings
from service.auth.providers.causes import CAUSES
from service.feature import all_errors, settings_of
from service.product import FEATURES
from tests.support.api.server import ROOT
from tests.support.documents import pages

# Words that mean one thing only, so that each place where one stands is a mistake; "user" or "client" may be right.
_REPLACED = ("IdP", "SSO", "PHI", "pod", "downtime", "boilerplate", "scaffold", "logout")
_OF_PROTOCOLS = ("logout",)  # OpenID and SAML have it in their own terms, which the documents explain
_QUOTING = ("docs/HIPAA_READINESS.md",)  # it answers a checklist, row by row, in the checklist's words
# Of a sentence that does not say who: each has a name ("a caller", "a user", "an operator", "every caller").
_NO_ONE = re.compile(r"\b(nobody|somebody|whoever|anybody|everybody)\b", re.IGNORECASE)
# What other products call their own.
_THEIRS = re.compile(r"SAML logout|single logout|single_logout|/logout")


def texts() -> Iterator[tuple[str, str]]:
    for row in all_errors(FEATURES).values():
        yield row.code, f"{row.message} {row.detail} {row.action}"
    for variable in settings.variables(settings_of(FEATURES)):
        yield variable.name, variable.description
    yield from CAUSES.items()
    yield from AUDIT.items()
    yield from ((alarm.name, alarm.why) for alarm in (*LOG_ALARMS, *METRIC_ALARMS))
    assert isinstance(main, click.Group)
    for name, command in commands(main, "signalbox"):
        helps = [param.help or "" for param in command.params if isinstance(param, click.Option)]
        yield name, " ".join([command.help or "", *helps])


def documents() -> Iterator[tuple[str, str]]:
    """What a person reads in them: no code, and not the glossary itself."""
    for page in pages():
        if page.name != "GLOSSARY.md":
            text = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
            yield str(page.relative_to(ROOT)), text


@pytest.mark.parametrize("word", _REPLACED)
def test_no_message_help_or_setting_has_a_word_that_the_glossary_replaces(word: str) -> None:
    assert re.search(rf"\b{word}\b", (ROOT / "docs/GLOSSARY.md").read_text(), re.IGNORECASE)
    found = rf"\b{word}\b"
    assert [where for where, text in texts() if re.search(found, _THEIRS.sub("", text))] == []
    if word not in _OF_PROTOCOLS:
        assert [where for where, text in documents() if re.search(found, text) and where not in _QUOTING] == []
    assert len(list(texts())) > 100


def test_every_message_help_setting_and_document_says_who() -> None:
    assert [where for where, text in (*texts(), *documents()) if _NO_ONE.search(text)] == []


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
