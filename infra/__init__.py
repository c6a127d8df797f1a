"""The AWS side, the local stack, Railway, and the `signalbox` command."""

import service  # noqa: F401  refuses an old Python before anything here needs a new one
