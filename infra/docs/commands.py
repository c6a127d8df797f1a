"""The reference of the ``signalbox`` command, out of its own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click

from infra.docs.tables import table

FILE: Final = "docs/reference/commands.md"


def page(main: click.Group) -> str:
    """The whole reference.

    Args:
        main: The command with all the others.
    """
    found = list(commands(main, "signalbox"))
    first = ([f"[`{name}`](#{name.replace(' ', '-')})", _paragraphs(command)[0]] for name, command in found)
    parts = [
        "# Commands\n\nBefore each stands `uv run`; `--help` says the same in a terminal. "
        "This page is generated from `infra/cli`: `uv run signalbox docs`.\n\n"
        + table(("command", "what it does"), first)
    ]
    parts += (_section(name, command) for name, command in found)
    return "\n".join(parts)


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group that does something, with its whole name.

    Args:
        group: Where to begin.
        name: How it is called.
    """
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


def _section(name: str, command: click.Command) -> str:
    words = [
        param.make_metavar(click.Context(command)) for param in command.params if isinstance(param, click.Argument)
    ]
    options = [param for param in command.params if isinstance(param, click.Option)]
    text = "\n\n".join([f"## {name}", f"`{' '.join([name, *(['[OPTIONS]'] if options else []), *words])}`"])
    text += "".join(f"\n\n{paragraph}" for paragraph in _paragraphs(command)) + "\n"
    rows = ([f"`{', '.join(option.opts)}`{_value(option)}", _plain(_said(option))] for option in options)
    return f"{text}\n{table(('option', 'what it does'), rows)}" if options else text


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    kind = option.type
    return f" `{'|'.join(map(str, kind.choices)) if isinstance(kind, click.Choice) else option.metavar or 'VALUE'}`"


def _said(option: click.Option) -> str:
    default = f"  [default: {option.default}]" if option.show_default else ""
    return f"{option.help or ''}{default}"


def _paragraphs(command: click.Command) -> list[str]:
    return [_plain(" ".join(part.split())) for part in inspect.cleandoc(command.help or "").split("\n\n")]


def _plain(text: str) -> str:
    """As Markdown that has no HTML in it."""
    return text.replace("``", "`").replace("<", "&lt;").replace("  [", " [").strip()
