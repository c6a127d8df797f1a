"""As ``serve``, with the limits on time shortened by the environment, so that a test of them lasts a second."""

import os

from examples.notes.feature import NOTES
from service import __main__ as entry
from service.http import admission, protocol, server
from tests.features.faults import FAULTS
from tests.support.features import beside

if __name__ == "__main__":
    for module in (entry, admission, protocol, server):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, int | float):
                setattr(module, name, float(os.environ.get(f"TEST_{name}", value)))
    raise SystemExit(entry.main(beside(NOTES, FAULTS)))
