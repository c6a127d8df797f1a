"""Which images the Dockerfile builds on: by digest, or by a name that means another image tomorrow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from infra.deploy.finding import Finding

_FROM: Final = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE | re.MULTILINE)
_COPY: Final = re.compile(r"^(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE | re.MULTILINE)
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")


def unpinned(dockerfile: str) -> list[str]:
    """Images without a digest, each once; a stage of the file itself, and ``scratch``, are none.

    Args:
        dockerfile: Its text.
    """
    began = _FROM.findall(dockerfile)
    stages = {"scratch", *(name.lower() for _, name in began if name), *map(str, range(len(began)))}
    named = dict.fromkeys((*(image for image, _ in began), *_COPY.findall(dockerfile)))
    return [image for image in named if image.lower() not in stages and not _DIGEST.search(image)]


def finding(root: Path) -> Finding:
    """What `doctor` says of them.

    Args:
        root: The checkout.
    """
    file = root / "Dockerfile"
    if not file.exists():
        return Finding("ok", "base images", "no Dockerfile: Railway builds without one")
    if left := unpinned(file.read_text(encoding="utf-8")):
        text = (
            f"the Dockerfile builds on {', '.join(left)}, which may be another image tomorrow: add its digest (docker "
            "buildx imagetools inspect NAME), written out, so that Dependabot proposes newer ones"
        )
        return Finding("note", "base images", text)
    return Finding("ok", "base images", "by digest")
