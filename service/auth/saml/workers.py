"""Threads for XML and signatures, so that sign-ins never hold up anything else."""

from __future__ import annotations

from service.bounded import Bounded
from service.errors import NOT_READY


class Workers(Bounded):
    """The pool that all SAML providers share; a genuine response takes 3 to 15 milliseconds."""

    def __init__(self) -> None:
        super().__init__("saml", threads=2, waiting=64, full=NOT_READY, reason="saml_workers")
