"""The service with the waits of its key sets shortened by the environment, so that a drill lasts seconds."""

import os

from service.__main__ import main
from service.auth.tokens import keys

if __name__ == "__main__":
    for name in ("COOLDOWN", "SOFT_AGE", "HARD_AGE"):
        setattr(keys, name, float(os.environ.get(f"TEST_{name}", getattr(keys, name))))
    raise SystemExit(main())
