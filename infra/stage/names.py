"""Every name that a stage has outside this repository, made of the product's name and checked against its limit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from service.naming import Names
from service.product import NAME, TITLE

PRODUCT: Final = Names(NAME)
MAX_TITLE: Final = 40
# IAM takes Latin-1 in a description, a certificate 64 characters; quotes and backslashes need none of them.
_TITLE = re.compile(r"[^\W_][ -~\u00A1-\u00FF]*\Z")
_TAKEN: Final = ("pg", "rds", "postgres", "rdsadmin")  # roles and databases of PostgreSQL's own, and of RDS's
# What a tenant may be called: one pattern everywhere, here as in service/tenancy.py.
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_RESERVED: Final = ("aws", "amazon", "cognito")  # Cognito has no address with one of them

# What a name is for -> how many characters that may have. The longest of each kind is checked.
LIMITS: Final = {
    "CloudFormation stack": 128,
    "RDS instance": 63,
    "IAM user": 64,
    "Roles Anywhere anchor, trail or budget": 100,
    "certificate": 64,
    "KMS alias": 256,
    "secret": 512,
    "log group": 512,
    "host in a tailnet": 63,
    "address of the hosted login": 63,
    "Railway project": 50,
    # CloudFormation makes it up: it begins with the stack's name, then a dash, at least one letter, and 13 of its own.
    "bucket": 48,
}


def title(text: str) -> str:
    """The product's title, if it can stand in what AWS describes and in a certificate.

    Args:
        text: The title.

    Raises:
        ValueError: It cannot.
    """
    if not 1 <= len(text) <= MAX_TITLE or not _TITLE.match(text) or set(text) & set('"\\<>'):
        raise ValueError(
            f"TITLE of service/product.py must be 1 to {MAX_TITLE} characters of Latin-1, a letter or digit first, "
            "without quotes, backslashes, < and >"
        )
    return text


LABEL: Final = title(TITLE)  # begins the descriptions in AWS


@dataclass(frozen=True, slots=True)
class StageNames:
    """The names of one stage.

    Attributes:
        stage: Name of the stage.
        product: Name of the product.
    """

    stage: str
    product: str = NAME

    def __post_init__(self) -> None:
        Names(self.product)
        if reserved(self.product) or self.product.partition("-")[0] in _TAKEN:
            raise ValueError(
                f"NAME of service/product.py must not begin with {', '.join(_TAKEN)}, nor contain "
                f"{', '.join(_RESERVED)}: PostgreSQL and Cognito keep these for themselves"
            )
        for kind, longest in self._longest().items():
            if len(longest) > LIMITS[kind]:
                raise ValueError(
                    f"the name of a {kind} has at most {LIMITS[kind]} characters: "
                    f"NAME and the name of stage {self.stage} are too long together"
                )

    def _longest(self) -> dict[str, str]:
        return {
            "CloudFormation stack": self.stack("identity"),
            "RDS instance": self.whole,
            "IAM user": self.user,
            "Roles Anywhere anchor, trail or budget": self.whole,
            "certificate": self.authority,
            "KMS alias": self.tenant_key("x" * 64),
            "secret": f"{self.path}/{'x' * 61}",
            "log group": f"/aws/rds/instance/{self.whole}/postgresql",
            "host in a tailnet": self.router,
            "address of the hosted login": self.whole,
            "Railway project": self.whole,
            "bucket": self.stack("watch"),
        }

    @property
    def whole(self) -> str:
        """Of what a stage has one of: RDS instance, trail, budget, user pool, Railway project, hosted login."""
        return f"{self.product}-{self.stage}"

    @property
    def path(self) -> str:
        """What the names of secrets, keys and metrics begin with, without the slash that follows it."""
        return f"{self.product}/{self.stage}"

    def stack(self, part: str) -> str:
        """A CloudFormation stack.

        Args:
            part: Which one.
        """
        return f"{self.whole}-{part}"

    def key(self, purpose: str) -> str:
        """The alias of a KMS key, without ``alias/``.

        Args:
            purpose: What it is for.
        """
        return f"{self.path}/{purpose}"

    @property
    def tenant_keys(self) -> str:
        """What the aliases of the tenants' own keys begin with. A tenant's name cannot hold the slash before it."""
        return f"alias/{self.key('tenant/')}"

    def tenant_key(self, tenant: str) -> str:
        """The alias of a tenant's own key. What a tenant may be called, an alias may be called as well.

        Args:
            tenant: Whose.
        """
        return f"{self.tenant_keys}{tenant}"

    @property
    def user(self) -> str:
        """The IAM user of the service, where it has no certificate."""
        return f"{self.whole}-service"

    @property
    def certificate(self) -> str:
        """The common name in the service's certificate; the trust policy of the role asks for it."""
        return f"{self.product}-service-{self.stage}"

    @property
    def authority(self) -> str:
        """The common name of the authority that signs it."""
        return f"{self.product}-authority-{self.stage}"

    @property
    def sign_ins(self) -> str:
        """The log group of sign-ins. Only below this prefix does Cognito write without a policy of its own."""
        return f"/aws/vendedlogs/{self.path}/sign-ins"

    @property
    def router(self) -> str:
        """The subnet router's host name in the tailnet."""
        return f"{self.whole}-router"

    @property
    def routing(self) -> str:
        """The namespace of what the subnet router says of itself."""
        return f"{self.path}/router"

    @property
    def node(self) -> str:
        """The service's host name in the tailnet."""
        return f"{self.whole}-api"

    @property
    def router_tag(self) -> str:
        """The subnet router's tag in the tailnet."""
        return f"tag:{self.product}-router-{self.stage}"

    @property
    def node_tag(self) -> str:
        """The service's tag in the tailnet."""
        return f"tag:{self.product}-api-{self.stage}"

    @property
    def login(self) -> str:
        """First label of the hosted login's address, where the stage names no other."""
        return self.whole


def reserved(domain_prefix: str) -> bool:
    """Whether Cognito refuses an address that begins so.

    Args:
        domain_prefix: First label of the hosted login's address.
    """
    return any(word in domain_prefix for word in _RESERVED)
