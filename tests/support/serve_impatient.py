"""The service with a cooldown of a second between key fetches, so that a test need not wait for half a minute."""

from service.__main__ import main
from service.auth import keys

if __name__ == "__main__":
    keys.COOLDOWN = 1.0
    raise SystemExit(main(("service",)))
