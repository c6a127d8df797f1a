"""What this domain brings to the application, put together once per process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from service.auth.errors import AUTH_ERRORS, TOKEN_ERRORS
from service.auth.issued.signing import TokenSigner
from service.auth.login.onetime import OneTime
from service.auth.login.routes import SignIns, public, router, well_known
from service.auth.login.sealing import Sealer
from service.auth.login.sign_in import SignIn
from service.auth.login.transaction import Logins
from service.auth.oidc.sign_in import OidcSignIn
from service.auth.providers import presets as providers
from service.auth.providers.client import Client, Clients
from service.auth.providers.discovery import Discovery
from service.auth.settings import AuthSettings
from service.auth.tokens.judge import Authenticator, ExternalIssuers, Strategy
from service.auth.tokens.keys import IssuerKeys
from service.auth.tokens.remembered import RememberedTokens
from service.feature import Core, Feature, Started
from service.http import swagger
from service.http.credentials import Scheme
from service.log import get_logger
from service.principal import Principal
from service.readiness import Check, State

if TYPE_CHECKING:
    from service.auth.saml.assembly import SamlProviders

log = get_logger(__name__)

_PREFIX = "bearer "
_PREFIX_BYTES = _PREFIX.encode("ascii")

BEARER = Scheme(
    "bearer",
    "authorization",
    {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token (JWT) of one of /api/v1/auth/providers, judged by the rules of RFC8725.",
    },
    TOKEN_ERRORS,
)


class BearerTokens:
    """The strategy for bearer tokens (RFC 6750, section 2.1); a token in a query or a form is not looked at.

    Args:
        tokens: Judges them.
    """

    scheme = BEARER

    def __init__(self, tokens: RememberedTokens) -> None:
        self.admit, self._known = tokens.admit, tokens.known

    async def authenticate(self, credential: str) -> Principal | None:
        """See ``http.credentials.Strategy``."""
        if credential[: len(_PREFIX)].lower() != _PREFIX:
            return None
        return await self.admit(credential[len(_PREFIX) :].strip(" "))

    def recall(self, credential: bytes) -> Principal | None:
        """See ``http.credentials.Recalling``."""
        if credential[: len(_PREFIX)].lower() != _PREFIX_BYTES:
            return None
        return self._known(credential[len(_PREFIX) :].strip(b" "))


@dataclass(frozen=True, slots=True)
class Auth:
    """What the routes, and other parts of this domain, need of it.

    Attributes:
        keys: Key set per issuer.
        tokens: Judges bearer tokens.
        logins: Logins under way.
        sign_ins: How to sign in, by provider name, in the order of the settings.
        clients: For requests to providers; closed at the end.
        signer: Signs the tokens we issue; None where we issue none.
        saml: The providers of that kind; None where there are none.
    """

    keys: tuple[IssuerKeys, ...]
    tokens: BearerTokens
    logins: Logins
    sign_ins: Mapping[str, SignIn]
    clients: Clients
    signer: TokenSigner | None
    saml: SamlProviders | None

    async def issuers(self) -> State:
        """For readiness: ``ok`` when tokens of every issuer can be judged, ``stale`` when some can be, or all by keys
        that could not be refreshed. Which issuer it is, is in the log."""
        found = [entry.state for entry in self.keys]
        if self.saml is not None and self.signer is not None:
            found += self.saml.states() if self.signer.ready else ["unavailable"]
        if all(state == "ok" for state in found):
            return "ok"
        return "unavailable" if all(state == "unavailable" for state in found) else "stale"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the key sets fresh for the duration of the block."""
        work = [asyncio.to_thread(_warm), *(entry.keep_fresh() for entry in self.keys)]
        if self.saml is not None and self.signer is not None:
            work += [self.signer.keep_fresh(), *self.saml.background()]
        refreshers = [asyncio.create_task(coroutine) for coroutine in work]
        for task in refreshers:
            task.add_done_callback(_report)
        try:
            yield
        finally:
            for task in refreshers:
                task.cancel()
            await asyncio.gather(*refreshers, return_exceptions=True)
            await self.clients.close()
            if self.signer is not None:
                self.signer.close()
            if self.saml is not None:
                for workers in self.saml.workers:
                    workers.close()


@asynccontextmanager
async def start(core: Core) -> AsyncIterator[Started]:
    """Start this domain.

    Args:
        core: Of the application.

    Raises:
        SettingsError: The settings name what cannot be used, such as a certificate that is none.
    """
    auth = assemble(core)
    async with auth.running():
        yield Started(
            parts=(auth, SignIns(auth.logins, auth.sign_ins, auth.signer)),
            checks={"issuers": Check(auth.issuers, decisive=True)},
            strategies=(auth.tokens,),
            ages={entry.provider.name: partial(getattr, entry, "age") for entry in auth.keys},
        )


def assemble(core: Core) -> Auth:
    """Put the parts together; nothing is connected to yet.

    Args:
        core: Of the application.
    """
    settings, secrets, engine = core.settings, core.secrets, core.engine
    own = settings.of(AuthSettings)
    clients = Clients()
    for_keys = Client(clients)
    keys = []
    for provider in providers.configured(own):
        keys.append(IssuerKeys(provider, for_keys, discovery=Discovery(provider, for_keys)))
    sealer = Sealer(secrets, own.session_secret)
    logins = Logins(
        sealer,
        OneTime(engine),
        public_url=settings.public_url,
        targets=settings.allowed_origins,
        own_page=settings.public_url + swagger.PATH if settings.docs_open else None,
        cookie=core.names.login_cookie,
        development=settings.development,
    )

    async def admit(token: str) -> Principal:
        return await tokens.admit(token)

    key_ids = own.token_signing_key_id
    signer = TokenSigner(key_ids, lambda: core.aws.client("kms")) if key_ids else None
    saml = None
    if signer is not None and any(group.kind == "saml" for group in own.idp.values()):
        from service.auth.saml import assembly as saml_assembly  # lxml, xmlsec and python3-saml: for who needs them

        saml = saml_assembly.assemble(
            settings, signer=signer, admit=admit, engine=engine, sealer=sealer, secrets=secrets, client=for_keys
        )
    strategies: list[Strategy] = [ExternalIssuers(keys), *([saml.strategy] if saml else [])]
    tokens = BearerTokens(RememberedTokens(Authenticator(strategies), remembered=own.tokens_remembered))
    sign_ins: dict[str, SignIn] = {}
    for entry in keys:
        if entry.provider.client_id is not None:
            client = Client(clients)
            sign_ins[entry.provider.name] = OidcSignIn(
                entry.provider,
                client=client,
                discovery=Discovery(entry.provider, client),
                keys=entry,
                secrets=secrets,
                admit=admit,
                public_url=settings.public_url,
            )
    sign_ins |= saml.sign_ins if saml else {}
    return Auth(tuple(keys), tokens, logins, sign_ins, clients, signer, saml)


def _warm() -> None:
    """Import what the first key set, token or sign-in needs, beside the requests: none of them waits for it, and nor
    does the start."""
    for name in ("jose.jwk", "cryptography.hazmat.primitives.ciphers.aead", "cryptography.hazmat.primitives.kdf.hkdf"):
        import_module(name)


def _report(task: asyncio.Task[None]) -> None:
    """Nobody waits for these tasks: one that dies of a mistake of ours would let keys grow old in silence."""
    if not task.cancelled() and (failure := task.exception()) is not None:
        log.critical("background_work_died", exc_info=failure)


AUTH = Feature(
    name="auth",
    errors=AUTH_ERRORS,
    settings=AuthSettings,
    routers=(router, public, well_known),
    schemes=(BEARER,),
    start=start,
)
