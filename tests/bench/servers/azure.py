"""fastapi-azure-auth, as its documentation has it, against the issuer of the benchmark. It writes no access line."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import FastAPI, Security
from fastapi_azure_auth.auth import AzureAuthorizationCodeBearerBase
from fastapi_azure_auth.user import User
from pydantic import BaseModel

from tests.bench.servers.serve import serve

issuer = os.environ["BENCH_ISSUER"]
scheme = AzureAuthorizationCodeBearerBase(
    app_client_id=os.environ["BENCH_CLIENT"],
    tenant_id="common",
    openid_config_url=f"{issuer}/.well-known/openid-configuration",
)
app = FastAPI()


class Caller(BaseModel):
    subject: str
    tenant: str


@app.get("/who")
async def who(user: Annotated[User, Security(scheme)]) -> Caller:
    return Caller(subject=user.sub, tenant=user.claims["tenant_id"])


if __name__ == "__main__":
    serve(app)
