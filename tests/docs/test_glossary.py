"""One word for one thing: messages, help and settings have none of the words that the glossary replaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from infra.cli.main import main
from service import settings
from service.feature import all_errors, settings_of
from service.product import FEATURES
from tests.support.api.server import ROOT

# Words that mean one thing only, so that each place where one stands is a mistake; "user" or "client" may be right.
_REPLACED = ("IdP", "SSO", "PHI", "pod", "downtime", "boilerplate", "scaffold")


def texts() -> Iterator[tuple[str, str]]:
    for row in all_errors(FEATURES).values():
        yield row.code, f"{row.message} {row.detail} {row.action}"
    for variable in settings.variables(settings_of(FEATURES)):
        yield variable.name, variable.description
    for name, command in main.commands.items() if isinstance(main, click.Group) else ():
        helps = [param.help or "" for param in command.params if isinstance(param, click.Option)]
        yield f"signalbox {name}", " ".join([command.help or "", *helps])


@pytest.mark.parametrize("word", _REPLACED)
def test_no_message_help_or_setting_has_a_word_that_the_glossary_replaces(word: str) -> None:
    assert re.search(rf"\b{word}\b", (ROOT / "docs/GLOSSARY.md").read_text(), re.IGNORECASE)
    assert [where for where, text in texts() if re.search(rf"\b{word}\b", text)] == []
    assert len(list(texts())) > 100
