"""What the sign-in routes take and answer, with the bounds that the document promises."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.http.described import PLAIN, counted, told
from service.http.request import MAX_HEAD_BYTES

_ADDRESS: Final = 4096  # characters at most, as the other two
_TOKEN: Final = 16_384
_IN_HEAD: Final = MAX_HEAD_BYTES


def _at_most(items: int) -> Any:
    """What the document promises of a list that is answered."""
    return Field(json_schema_extra={"maxItems": items})


class Caller(BaseModel):
    """Who the token's bearer is."""

    subject: Annotated[str, told(1024)]
    tenant: Annotated[str, told(64, r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    issuer: Annotated[str, told(_ADDRESS)]
    provider: Annotated[str, told(64)]
    expires_at: datetime | None
    scopes: Annotated[list[Annotated[str, told(_IN_HEAD, PLAIN)]], _at_most(_IN_HEAD)]


class SignInOption(BaseModel):
    """A button of a sign-in page."""

    name: Annotated[str, told(64)]
    kind: Annotated[str, told(64)]
    login_url: Annotated[str, told(_ADDRESS)]


SignInOptions = Annotated[list[SignInOption], _at_most(1000)]


class LoginCode(BaseModel):
    """What the front end found in its address."""

    model_config = ConfigDict(extra="forbid")

    login_code: str = Field(min_length=1, max_length=200, pattern=PLAIN)


class Token(BaseModel):
    """A bearer token for this API (RFC 6749, section 5.1)."""

    access_token: Annotated[str, told(_TOKEN)]
    token_type: Annotated[str, WithJsonSchema({"const": "Bearer", "type": "string"})]
    expires_in: Annotated[int, counted(3600)]
    id_token: Annotated[str, told(_TOKEN)] | None = None


class SignOut(BaseModel):
    """Where to go after a sign-out, and the ID token of the sign-in, which spares the person a question."""

    model_config = ConfigDict(extra="forbid")

    return_to: Annotated[str, Field(max_length=1024, pattern=PLAIN)] | None = None
    id_token_hint: Annotated[str, Field(max_length=_TOKEN, pattern=PLAIN)] | None = None


class SignedOut(BaseModel):
    """``logout_url`` ends the provider's session when the browser goes there; null where there is no such thing."""

    logout_url: Annotated[str, told(_ADDRESS)] | None


class KeySet(BaseModel):
    """A JSON Web Key Set."""

    keys: Annotated[list[dict[str, Annotated[str, told(2048, r"^[A-Za-z0-9_-]+$")]]], _at_most(16)]


ProviderName = Annotated[
    str, Path(max_length=64, pattern=PLAIN, description="As in GET /api/v1/auth/providers.", examples=["cognito"])
]
ReturnTo = Annotated[
    Annotated[str, Field(max_length=1024, pattern=PLAIN)] | None,
    Query(description="An address below one of ALLOWED_ORIGINS."),
]
