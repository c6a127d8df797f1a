"""The SAML providers of the settings, put together."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncEngine

from service.auth.issued.ended import EndedSessions
from service.auth.issued.signing import TokenSigner
from service.auth.issued.tokens import IssuedTokens, OwnIssuer
from service.auth.login.onetime import OneTime
from service.auth.login.sealing import Sealer
from service.auth.providers.client import Http
from service.auth.saml import check_libraries
from service.auth.settings import AuthSettings, SamlSettings
from service.aws.secrets import Secrets
from service.principal import Principal
from service.readiness import State
from service.settings import Settings, SettingsError
from service.tenancy import TenantId

check_libraries()

from service.auth.saml.metadata import certificate_pem  # noqa: E402  what follows imports xmlsec
from service.auth.saml.rules import Limits  # noqa: E402
from service.auth.saml.sign_in import Binding, SamlSignIn  # noqa: E402
from service.auth.saml.source import MetadataSource  # noqa: E402
from service.auth.saml.workers import Workers  # noqa: E402


@dataclass(frozen=True, slots=True)
class SamlProviders:
    """All of them.

    Attributes:
        sign_ins: How to sign in, by provider name.
        strategy: Judges the tokens that their users get.
        ended: What ended early.
        workers: Where everything computes, one for each provider.
    """

    sign_ins: Mapping[str, SamlSignIn]
    strategy: IssuedTokens
    ended: EndedSessions
    workers: tuple[Workers, ...]

    def states(self) -> list[State]:
        """For readiness, one for each provider; a certificate that ends soon is a warning in the log."""
        known: dict[str, State] = {"ok": "ok", "expiring": "ok", "stale": "stale"}
        return [known.get(sign_in.state, "unavailable") for sign_in in self.sign_ins.values()]

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside the requests."""
        return [self.ended.keep_fresh(), *(sign_in.source.keep_fresh() for sign_in in self.sign_ins.values())]


def assemble(
    settings: Settings,
    *,
    signer: TokenSigner,
    admit: Callable[[str], Awaitable[Principal]],
    engine: AsyncEngine,
    sealer: Sealer,
    secrets: Secrets,
    client: Http,
) -> SamlProviders:
    """Put them together; nothing is connected to yet.

    Args:
        settings: With at least one provider of kind ``saml``.
        signer: Signs the tokens.
        admit: The gate of this API: token -> principal.
        engine: For what may be used once, and for what ended.
        sealer: For the name of the session that the front end keeps.
        secrets: Where our keys are.
        client: Follows no redirect.

    Raises:
        SettingsError: A certificate in them is none.
    """
    ended, once = EndedSessions(engine), OneTime(engine)
    pools = []
    issuers, sign_ins = [], {}
    for name, group in settings.of(AuthSettings).idp.items():
        if not isinstance(group, SamlSettings):
            continue
        pools.append(workers := Workers())
        bound_to = frozenset(tenants(group).values())
        issuer = OwnIssuer(name, "saml", bound_to, signer=signer, public_url=settings.public_url)
        issuers.append(issuer)
        sign_ins[name] = SamlSignIn(
            _binding(name, group, settings.allowed_origins),
            source=source(name, group, client, workers),
            issuer=issuer,
            admit=admit,
            once=once,
            ended=ended,
            sealer=sealer,
            secrets=secrets,
            workers=workers,
            public_url=settings.public_url,
        )
    return SamlProviders(sign_ins, IssuedTokens(issuers, ended), ended, tuple(pools))


def _binding(name: str, group: SamlSettings, origins: Sequence[str]) -> Binding:
    assert group.sp_secret is not None
    return Binding(
        name=name,
        entity_id=group.issuer,
        sp_secret=group.sp_secret,
        tenants=tenants(group),
        tenant_attribute=group.tenant_claim,
        subject_attribute=group.subject_attribute,
        unsolicited=group.unsolicited,
        landing=group.unsolicited_return_to or (f"{origins[0]}/" if origins else None),
        limits=Limits(
            age=timedelta(minutes=group.issued_minutes),
            lifetime=timedelta(minutes=group.assertion_minutes),
            sign_in_age=timedelta(minutes=group.sign_in_minutes),
        ),
    )


def source(name: str, group: SamlSettings, client: Http, workers: Workers) -> MetadataSource:
    """Where a provider's metadata comes from.

    Args:
        name: Its name.
        group: Its settings, checked.
        client: Follows no redirect.
        workers: For parsing.

    Raises:
        SettingsError: The certificate of the metadata is none.
    """
    origin = (group.metadata_url and entity_address(group.metadata_url, group.issuer)) or group.metadata_file
    assert origin is not None
    signer = None
    if group.metadata_certificate is not None:
        try:
            signer = certificate_pem(group.metadata_certificate)
        except ValueError:
            variable = f"IDP__{name}__METADATA_CERTIFICATE".upper()
            raise SettingsError(f"{variable} is no certificate: PEM, or the base64 in it on one line") from None
    return MetadataSource(name, group.issuer, origin, signer, client=client, workers=workers)


def entity_address(template: str, entity_id: str) -> str:
    """An address of a metadata query service (draft-young-md-query-saml), of which one entity is asked.

    Args:
        template: With ``{entity_id}``, or with ``{sha1}`` where the service wants the digest; any other is as it is.
        entity_id: Of the provider.
    """
    digest = hashlib.sha1(entity_id.encode(), usedforsecurity=False).hexdigest()  # a name, which proves nothing
    return template.replace("{entity_id}", quote(entity_id, safe="")).replace("{sha1}", f"%7Bsha1%7D{digest}")


def tenants(group: SamlSettings) -> Mapping[str, TenantId]:
    """What a provider may speak for, by what its attribute says.

    Args:
        group: Its settings; ``tenants`` are names, or ``value=name`` pairs.
    """
    pairs = [item.rpartition("=") for item in group.tenants]
    return {value or tenant: TenantId.parse(tenant) for value, _, tenant in pairs}
