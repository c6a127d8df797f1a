"""Where things are: the checkout, and the folder of what its commands keep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Where the local stack keeps its state; another folder (and other ports) makes a second stack beside the first.
FOLDER: Final = Path(os.environ.get("SIGNALBOX_STATE") or ROOT / ".signalbox").resolve()
