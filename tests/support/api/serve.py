"""The service with the test's own features beside those it ships: ``python -m tests.support.api.serve``."""

from service.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(("service", "tests.features")))
