"""The steps of ``signalbox auth check`` for a SAML provider: its metadata and our keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx

from service.auth.saml import assembly
from service.auth.saml.metadata import MetadataError
from service.auth.saml.sign_in import read_sp_keys
from service.auth.saml.source import EXPIRES_SOON
from service.auth.saml.workers import Workers
from service.auth.settings import AuthSettings, SamlSettings
from service.auth.steps import Step, failing, words
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import SECRETS_DOWN, ApiError
from service.settings import Settings


async def check_saml(settings: Settings, name: str, client: httpx.AsyncClient) -> AsyncIterator[Step]:
    """Ask for everything that a SAML sign-in needs.

    Args:
        settings: With this provider.
        name: Of the provider, lower case.
        client: Follows no redirect.

    Yields:
        Each step that is passed.

    Raises:
        CheckError: At the first thing that does not fit.
    """
    group, workers = settings.of(AuthSettings).idp[name], Workers()
    assert isinstance(group, SamlSettings)
    yield Step("settings", f"kind saml, entity id {group.issuer}")
    yield Step("tenant", words(set(assembly.tenants(group).values())))
    signed = "signed with METADATA_CERTIFICATE" if group.metadata_certificate else "trusted for where it comes from"
    compared = f"{group.metadata_url or group.metadata_file} is about exactly that entity id ({signed})"
    source = assembly.source(name, group, client, workers)
    rule = f"{compared}, has a sign-in address for HTTP-Redirect and a usable certificate"
    try:
        with failing("metadata", rule, lambda: source.remedy):
            await source.refresh()  # a federation's takes longer than a sign-in waits
            idp = await source.current()
    finally:
        workers.close()
    yield Step("metadata", compared)
    yield Step("sign-in", idp.sso_url)
    yield Step("sign-out", idp.slo_url or "the provider offers no single logout")
    yield _lasting("certificate", f"{len(idp.certificates)}", idp.expires_at)
    assert group.sp_secret is not None
    with failing("keys", "SP_SECRET_ID names one or two pairs of private_key and certificate, both PEM, that fit"):
        try:
            keys = read_sp_keys(await Secrets(Aws(settings)).text(group.sp_secret))
        except MetadataError as failure:
            raise ApiError(SECRETS_DOWN, str(failure)) from None
    yield _lasting("keys", f"{len(keys)} of ours", min(key.expires_at for key in keys))
    base = f"{settings.public_url}/api/v1/auth/{name}"
    yield Step("register", f"entity id {base}/metadata, assertion consumer {base}/callback, logout {base}/logout")


def _lasting(name: str, what: str, ends: datetime) -> Step:
    soon = ends <= datetime.now(UTC) + EXPIRES_SOON
    return Step(name, f"{what}, the first ends {ends:%Y-%m-%d}", "!!" if soon else "ok")
