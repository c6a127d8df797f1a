"""``signalbox auth check`` for a SAML provider: its metadata and our keys, with the service's own functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from infra.shell.failure import Failure
from service.auth.saml import assembly
from service.auth.saml.metadata import MetadataError
from service.auth.saml.sign_in import read_sp_keys
from service.auth.saml.source import EXPIRES_SOON
from service.auth.saml.workers import Workers
from service.aws.identity import Aws
from service.aws.secrets import Secrets
from service.errors import ApiError
from service.settings import SamlSettings, Settings


class SamlCheckFailed(Failure):
    """Something does not fit; the text says what."""


async def check_saml(settings: Settings, name: str, tell: Callable[[str], None]) -> None:
    """Ask for everything that a SAML sign-in needs.

    Args:
        settings: With this provider.
        name: Of the provider, lower case.
        tell: Takes a line of the report.

    Raises:
        SamlCheckFailed: At the first thing that does not fit.
    """
    group, workers = settings.idp[name], Workers()
    assert isinstance(group, SamlSettings)
    tell(f"ok    settings     kind saml, entity id {group.issuer}")
    tell(f"ok    tenant       {', '.join(sorted(set(assembly.tenants(group).values())))}")
    origin = group.metadata_url or group.metadata_file
    try:
        async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
            source = assembly.source(name, group, client, workers)
            await source.refresh()
            idp = await source.current()
    except ApiError as failure:
        raise SamlCheckFailed(
            f"metadata: {origin}: {failure.reason}. It must be metadata of exactly that entity id, with a sign-in "
            "address for HTTP-Redirect and a certificate that signatures can be verified with."
        ) from None
    finally:
        workers.close()
    signed = "signed with METADATA_CERTIFICATE" if group.metadata_certificate else "trusted for where it comes from"
    tell(f"ok    metadata     {origin} is about exactly that entity id ({signed})")
    tell(f"ok    sign-in      {idp.sso_url}")
    tell(f"ok    sign-out     {idp.slo_url or 'the provider offers no single logout'}")
    tell(f"{_mark(idp.expires_at)} certificate  {len(idp.certificates)}, the first ends {idp.expires_at:%Y-%m-%d}")
    assert group.sp_secret is not None
    try:
        keys = read_sp_keys(await Secrets(Aws(settings)).text(group.sp_secret))
    except (ApiError, MetadataError) as failure:
        reason = failure.reason if isinstance(failure, ApiError) else str(failure)
        raise SamlCheckFailed(
            f"keys: the secret that SP_SECRET_ID names: {reason}. It must be a JSON list of one or two objects with "
            "private_key and certificate, both PEM, that fit together."
        ) from None
    ends = min(key.expires_at for key in keys)
    tell(f"{_mark(ends)} keys         {len(keys)} of ours, the first ends {ends:%Y-%m-%d}")
    base = f"{settings.public_url}/api/v1/auth/{name}"
    tell(f"ok    register     entity id {base}/metadata, assertion consumer {base}/callback, logout {base}/logout")


def _mark(ends: datetime) -> str:
    return "!!   " if ends <= datetime.now(UTC) + EXPIRES_SOON else "ok   "
