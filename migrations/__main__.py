"""``python -m migrations``: Alembic with the template's line of versions and those of the product's features.

python -m migrations upgrade                      # everything that is missing
python -m migrations revision notes -m "note"     # a new version in the line of the feature notes
python -m migrations history                      # and every other command of Alembic
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import CommandLine

from service.database.migrations import alembic_config
from service.product import FEATURES

_LINES = {feature.name: feature.migrations for feature in FEATURES if feature.migrations}


def main(arguments: list[str]) -> int:
    """Run a command of Alembic.

    Args:
        arguments: As for ``alembic``; ``upgrade`` alone means to the newest of every line, and ``revision`` takes the
            name of a feature first.
    """
    config = alembic_config([*_LINES.values()])
    if arguments[:1] == ["upgrade"] and len(arguments) == 1:
        command.upgrade(config, "heads")
        return 0
    if arguments[:1] == ["revision"] and len(arguments) > 1 and not arguments[1].startswith("-"):
        return _revision(arguments[1], arguments[2:])
    options = CommandLine().parser.parse_args(arguments)
    if not hasattr(options, "cmd"):
        CommandLine().parser.print_help()
        return 2
    CommandLine().run_cmd(config, options)
    return 0


def _revision(feature: str, arguments: list[str]) -> int:
    """A new version in a feature's own line: the first one begins it, on the template's present schema."""
    if feature not in _LINES:
        known = ", ".join(sorted(_LINES)) or "none"
        sys.stderr.write(f"{feature} is no feature of service/product.py with migrations (those are: {known})\n")
        return 1
    folder: Path = _LINES[feature]
    folder.mkdir(exist_ok=True)
    config = alembic_config([*_LINES.values()])
    options = CommandLine().parser.parse_args(["revision", *arguments])
    first = not any(folder.glob("*.py"))
    command.revision(
        config,
        message=options.message,
        rev_id=options.rev_id,
        version_path=str(folder),
        head="base" if first else f"{feature}@head",
        branch_label=feature if first else None,
        depends_on="0001" if first else None,
        splice=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
