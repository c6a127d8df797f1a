"""HIPAA controls as data, the evidence behind each, and the page made from both."""

from typing import Final

FORMS: Final = ("text", "csv", "markdown", "oscal-component", "oscal-results")  # of the table; ``exports`` writes them
