"""The local AWS of docker-compose.yml, with the project's own stacks in it: ``python -m infra.local.compose``.

`signalbox up` where PostgreSQL and the API are other containers: what that applies and starts itself is handed over in
a file, from which the API starts as its image. Everything but PostgreSQL shares one network, because the local AWS
listens on 127.0.0.1 alone, and the service takes plain http from there alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.environment.dotenv import dotenv_lines
from infra.local.up import Up
from infra.shell.failure import Failure
from infra.shell.paths import FOLDER, ROOT

ENV_FILE = "api.env"
REQUIRED = ("POSTGRES_HOST", "POSTGRES_PASSWORD", "API_ENV_FOLDER")


class ComposeUp(Up):
    """``Up`` up to the environment.

    Attributes:
        environ: Of the container; see docker-compose.yml.
    """

    environ: Mapping[str, str]

    def _postgres(self) -> Mapping[str, object]:
        given = self.environ
        return {
            "host": given["POSTGRES_HOST"],
            "port": int(given.get("POSTGRES_PORT", "5432")),
            "superuser": given.get("POSTGRES_USER", "postgres"),
            "password": given["POSTGRES_PASSWORD"],
        }

    def _migrate(self, environment: Mapping[str, str], outputs_file: Path) -> None:
        """The API does, when it starts."""

    def _start_api(self, environment: Mapping[str, str]) -> None:
        # Its container publishes the port, and nothing else can reach it.
        text = dotenv_lines({**environment, "HOST": "0.0.0.0"})  # noqa: S104
        target = Path(self.environ["API_ENV_FOLDER"]) / ENV_FILE
        partial = target.with_suffix(".partial")  # whoever finds the file finds all of it
        partial.write_text(text)
        partial.replace(target)

    def _start_page(self) -> str | None:
        """No port of this container is published."""


def main() -> int:
    """Run until told to stop."""
    missing = [name for name in REQUIRED if not os.environ.get(name)]
    if missing:
        print(f"{', '.join(missing)} must be set, as docker-compose.yml does", file=sys.stderr)  # noqa: T201
        return 1
    (Path(os.environ["API_ENV_FOLDER"]) / ENV_FILE).unlink(missing_ok=True)
    folder = Path(os.environ.get("STATE_FOLDER") or FOLDER)
    port, aws_port = (int(os.environ.get(name) or n) for name, n in (("PORT", 8000), ("AWS_PORT", 4566)))
    up = ComposeUp(ROOT, folder, port, aws_port)
    up.environ = os.environ
    try:
        up.run(lambda running: print(f"The stacks are deployed; the API is to be at {running.api_url}"))  # noqa: T201
    except Failure as failure:
        print(failure, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
