"""The service as it runs, with a feature of a user's own behind others: ``python -m service`` with one feature more."""

from __future__ import annotations

import os
import sys

from pydantic import BaseModel
from sqlalchemy import text

from examples.notes.feature import NOTES
from service.__main__ import main
from service.database.session import TenantSession
from service.feature import Feature
from service.http.gate import Router
from service.principal import CurrentPrincipal
from tests.support.features import beside

ROUTES_BEFORE = 20
router = Router(prefix="/api/v1/bench")


class Caller(BaseModel):
    subject: str
    tenant: str


async def other(principal: CurrentPrincipal) -> Caller:
    return Caller(subject=principal.subject, tenant=principal.tenant)


for number in range(ROUTES_BEFORE):
    router.get(f"/others/{number}/{{name}}", operation_id=f"other_{number}")(other)
router.get("/model", operation_id="model")(other)


@router.get("/session")
async def rows(session: TenantSession) -> list[str]:
    found = await session.execute(text("select body from app.note order by body"))
    return [row.body for row in found]


if __name__ == "__main__":
    os.environ["PORT"] = sys.argv[1]
    raise SystemExit(main(beside(NOTES, Feature(name="bench", routers=(router,)))))
