"""The service with the notes example and the handlers that go wrong: ``python -m tests.support.api.serve``."""

from examples.notes.feature import NOTES
from service.__main__ import main
from tests.features.faults import FAULTS
from tests.support.features import beside

if __name__ == "__main__":
    raise SystemExit(main(beside(NOTES, FAULTS)))
