"""A thread for the XML and signatures of each provider, so that what is sent to one holds up no other.

A job cannot be ended from outside, and need not be: ``screen`` admits no document that costs 100 ms.
"""

from __future__ import annotations

from service.bounded import Bounded
from service.errors import NOT_READY


class Workers(Bounded):
    """One provider's; a genuine response takes 3 to 15 milliseconds."""

    def __init__(self) -> None:
        super().__init__("saml", threads=1, waiting=16, full=NOT_READY, reason="saml_workers")
