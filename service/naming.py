"""Names that the service makes of the product's name (``service.product.NAME``), checked against what they name."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The shortest limit wins: a bucket's name (63 characters) holds the name, a stage of 20 and what tells buckets apart.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
MAX_NAME = 20


@dataclass(frozen=True, slots=True)
class Names:
    """What is named after the product.

    Attributes:
        product: The name itself: 2 to 20 lower-case letters, digits and single dashes, a letter first.
    """

    product: str

    def __post_init__(self) -> None:
        if not 2 <= len(self.product) <= MAX_NAME or not _NAME.match(self.product):
            raise ValueError(
                f"NAME of service/product.py must be 2 to {MAX_NAME} lower-case letters, digits and single dashes, "
                f"a letter first, and not {self.product!r}"
            )

    @property
    def _identifier(self) -> str:
        return self.product.replace("-", "_")

    @property
    def owner_role(self) -> str:
        """The PostgreSQL role that owns the tables; nobody logs in as it."""
        return f"{self._identifier}_owner"

    @property
    def app_role(self) -> str:
        """The PostgreSQL login of the service."""
        return f"{self._identifier}_app"

    @property
    def master_role(self) -> str:
        """The PostgreSQL login that administers the instance and migrates."""
        return f"{self._identifier}_master"

    @property
    def database(self) -> str:
        """The PostgreSQL database."""
        return self._identifier

    @property
    def login_cookie(self) -> str:
        """What the names of login cookies begin with."""
        return f"{self.product}-login-"
