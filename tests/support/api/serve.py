"""The service with the notes example and the handlers that go wrong: ``python -m tests.support.api.serve``."""

from examples.notes.feature import NOTES
from service.__main__ import main
from service.product import FEATURES
from tests.features.faults import FAULTS

if __name__ == "__main__":
    raise SystemExit(main((*FEATURES, NOTES, FAULTS)))
