"""Schema changes. ``python -m migrations upgrade`` applies them; several replicas may do so at once."""

import service  # noqa: F401  refuses an old Python before anything here needs a new one
