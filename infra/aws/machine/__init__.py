"""What runs on the subnet router, as text: its construct puts it there, and the gate asks for it to the letter."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PROGRAM: Final = Path(__file__).with_name("routing.py").read_text(encoding="utf-8")
