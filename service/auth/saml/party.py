"""The two parties of a SAML federation as the messages see them: addresses, certificates, keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SpKey:
    """One key pair of ours.

    Attributes:
        private_key: PEM.
        certificate: PEM.
        expires_at: When the certificate ends.
    """

    private_key: str
    certificate: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "SpKey(...)"  # whatever prints it must not print the key


@dataclass(frozen=True, slots=True)
class Idp:
    """What a provider's metadata says.

    Attributes:
        sso_url: Where browsers are sent to sign in (HTTP-Redirect).
        slo_url: Where they are sent to sign out; None when the provider offers no single logout.
        slo_response_url: Where an answer to the provider's own logout request goes.
        certificates: What it signs with, PEM; several while it changes them.
        expires_at: When the first of these certificates ends.
        valid_until: When the metadata itself ends; None when it does not say.
    """

    sso_url: str
    slo_url: str | None
    slo_response_url: str | None
    certificates: tuple[str, ...]
    expires_at: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Party:
    """Both sides of one federation at one moment.

    Attributes:
        idp_entity_id: The provider.
        idp: What its metadata says.
        sp_entity_id: Us.
        acs: Our assertion consumer service.
        sls: Our single logout service.
        sp_keys: Ours: the first signs, all decrypt and are published.
        persistent: Whether to ask for a persistent NameID.
    """

    idp_entity_id: str
    idp: Idp
    sp_entity_id: str
    acs: str
    sls: str
    sp_keys: tuple[SpKey, ...]
    persistent: bool
