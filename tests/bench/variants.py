"""What is measured: which server, which address, which tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Tokens = Literal["none", "few", "new RS256", "new ES256"]


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        name: For people.
        server: A module of ``tests.bench.servers``, or ``fastify``.
        path: What is asked.
        tokens: What the requests carry: the same few again and again, or one that the server has not seen.
        base: The row that it is compared with; None where it is that of the bare FastAPI route.
    """

    name: str
    server: str
    path: str
    tokens: Tokens = "few"
    base: str | None = None


BARE: Final = "FastAPI route, bare"
PLAIN: Final = "FastAPI and a SQLAlchemy session, bare"
VALIDATE: Final = "Signalbox, /auth/validate"
MODEL: Final = "Signalbox, a handler with a model"
NEW_RSA: Final = "Signalbox, every token new, RS256"
NEW_EC: Final = "Signalbox, every token new, ES256"
TENANT: Final = "Signalbox, one tenant transaction"
VARIANTS: Final = (
    Variant("ASGI callable, bare", "bare", "/", "none"),
    Variant("Starlette route, bare", "bare", "/starlette", "none"),
    Variant(BARE, "bare", "/dict", "none"),
    Variant("FastAPI route with a model, bare", "bare", "/model", "none"),
    Variant(VALIDATE, "ours", "/api/v1/auth/validate"),
    Variant(MODEL, "ours", "/api/v1/bench/model"),
    Variant(NEW_RSA, "ours", "/api/v1/bench/model", "new RS256"),
    Variant(NEW_EC, "ours", "/api/v1/bench/model", "new ES256"),
    Variant(PLAIN, "bare", "/session", "none"),
    Variant(TENANT, "ours", "/api/v1/bench/session", base=PLAIN),
    Variant("Signalbox behind granian, a handler with a model", "behind_granian", "/api/v1/bench/model"),
    Variant("BaseHTTPMiddleware and PyJWKClient", "recipe", "/who"),
    Variant("fastapi-azure-auth", "azure", "/who"),
    Variant("fastify, @fastify/jwt with cache, logger", "fastify", "/who"),
)
