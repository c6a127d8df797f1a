"""The messages that travel in an address (HTTP-Redirect binding): sign-in requests, and logout both ways."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from lxml.etree import _Element as Element
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Constants
from onelogin.saml2.logout_request import OneLogin_Saml2_Logout_Request
from onelogin.saml2.logout_response import OneLogin_Saml2_Logout_Response
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from service.auth.errors import SAML_LOGOUT, SAML_NO_LOGOUT, SAML_OVERSIZED, SAML_UNREADABLE
from service.auth.saml.grammar import LOGOUT, SAML, SAMLP
from service.auth.saml.library import parse, request_data, settings
from service.auth.saml.party import Party
from service.auth.saml.reading import instant, one, sane, text
from service.auth.saml.rules import SKEW, Limits
from service.auth.saml.screen import screen
from service.errors import ApiError

MAX_QUERY = 16_384  # characters; uvicorn's own limit is larger
_ALGORITHMS = (Constants.RSA_SHA256, Constants.RSA_SHA384, Constants.RSA_SHA512)
_SUCCESS = Constants.STATUS_SUCCESS
_AGE = Limits().age


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """The provider ends sessions of a user.

    Attributes:
        message_id: To be answered.
        name_id: Whose.
        sessions: Which; empty means all.
        relay_state: Comes back with the answer.
    """

    message_id: str
    name_id: str
    sessions: tuple[str, ...]
    relay_state: str | None


@dataclass(frozen=True, slots=True)
class LogoutResponse:
    """The provider answers a logout request of ours.

    Attributes:
        in_response_to: Id of that request.
        succeeded: Whether every session ended.
        relay_state: What we sent along.
    """

    in_response_to: str
    succeeded: bool
    relay_state: str | None


def sign_in_url(party: Party, relay_state: str, anew: bool = False) -> tuple[str, str]:
    """Where to send a browser that wants to sign in.

    Args:
        party: Both sides.
        relay_state: Comes back with the response.
        anew: Whether the provider must ask who the person is, whatever session they have there.

    Returns:
        The address with a signed AuthnRequest in it, and the id that the response must name.
    """
    request = OneLogin_Saml2_Authn_Request(settings(party, party.sp_keys[0]), force_authn=anew)
    return _signed_url(party, party.idp.sso_url, "SAMLRequest", request.get_request(), relay_state), request.get_id()


def sign_out_url(
    party: Party, name_id: str, name_id_format: str | None, session_index: str | None, relay_state: str
) -> tuple[str, str]:
    """Where to send a browser that wants to sign out everywhere.

    Args:
        party: Both sides.
        name_id: Of the user, as the provider named them.
        name_id_format: Its format.
        session_index: The provider's session.
        relay_state: Comes back with the answer.

    Returns:
        The address with a signed LogoutRequest in it, and its id.

    Raises:
        ApiError: AUTH_090 when the provider has no single logout.
    """
    if party.idp.slo_url is None:
        raise ApiError(SAML_NO_LOGOUT)
    request = OneLogin_Saml2_Logout_Request(
        settings(party, party.sp_keys[0]),
        name_id=name_id,  # the library escapes this one, and not the next
        session_index=None if session_index is None else escape(session_index),
        name_id_format=name_id_format,
    )
    return _signed_url(party, party.idp.slo_url, "SAMLRequest", request.get_request(), relay_state), request.id


def answer_url(party: Party, request: LogoutRequest) -> str:
    """Where to send the browser back after a logout that the provider began.

    Args:
        party: Both sides.
        request: What it asked for.

    Raises:
        ApiError: AUTH_090 when the provider has no single logout.
    """
    if party.idp.slo_response_url is None:
        raise ApiError(SAML_NO_LOGOUT)
    response = OneLogin_Saml2_Logout_Response(settings(party, party.sp_keys[0]))
    response.build(request.message_id)
    return _signed_url(party, party.idp.slo_response_url, "SAMLResponse", response.get_response(), request.relay_state)


def read_logout(party: Party, query: str, now: datetime, age: timedelta = _AGE) -> LogoutRequest | LogoutResponse:
    """Judge a logout message.

    The signature is computed over the query string as it came (SAML bindings 3.4.4.1), so that nothing is read from it
    that was not signed: each parameter once, and no others.

    Args:
        party: Both sides.
        query: The query string.
        now: The time.
        age: Since ``IssueInstant``, at most.

    Raises:
        ApiError: AUTH_070 to AUTH_072 for its form, AUTH_089 where the signature is wrong or absent.
    """
    parameters = _parameters(query)
    kind = "SAMLRequest" if "SAMLRequest" in parameters else "SAMLResponse"
    raw = _inflate(parameters[kind])
    screen(raw, LOGOUT)
    # The library takes an unsigned message for a good one, and no algorithm for SHA-1: so not without these.
    if parameters.get("SigAlg") not in _ALGORITHMS or not parameters.get("Signature"):
        raise ApiError(SAML_LOGOUT, "unsigned")
    if not _is_signed(party, query, parameters, kind):
        raise ApiError(SAML_LOGOUT, "signature")
    message = parse(raw)
    if message.tag != f"{{{SAMLP}}}{'LogoutRequest' if kind == 'SAMLRequest' else 'LogoutResponse'}":
        raise ApiError(SAML_LOGOUT, "kind")
    _check_logout(message, party, now, age)
    relay_state = parameters.get("RelayState")
    if kind == "SAMLResponse":
        codes = message.findall(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")
        succeeded = [code.get("Value") for code in codes] == [_SUCCESS]
        return LogoutResponse(message.get("InResponseTo", ""), succeeded, relay_state)
    sessions = tuple(text(index) for index in message.findall(f"{{{SAMLP}}}SessionIndex"))
    name_id = sane(text(one(message, "NameID", SAML_LOGOUT)), SAML_LOGOUT)
    return LogoutRequest(message.get("ID", ""), name_id, sessions, relay_state)


def _signed_url(party: Party, address: str, kind: str, message: str, relay_state: str | None) -> str:
    parameters = {kind: message}
    if relay_state is not None:
        parameters["RelayState"] = relay_state
    signer = OneLogin_Saml2_Auth(request_data(party.sls), settings(party, party.sp_keys[0]))
    add = signer.add_request_signature if kind == "SAMLRequest" else signer.add_response_signature
    add(parameters, Constants.RSA_SHA256)
    url: str = OneLogin_Saml2_Utils.redirect(address, parameters)
    return url


def _parameters(query: str) -> Mapping[str, str]:
    if len(query) > MAX_QUERY:
        raise ApiError(SAML_OVERSIZED, "query")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=5)
    except ValueError:
        raise ApiError(SAML_UNREADABLE, "query") from None
    found = dict(pairs)
    messages = {"SAMLRequest", "SAMLResponse"} & found.keys()
    known = {"RelayState", "SigAlg", "Signature"} | messages
    if len(found) != len(pairs) or len(messages) != 1 or not found.keys() <= known:
        raise ApiError(SAML_UNREADABLE, "query")
    return found


def _inflate(encoded: str) -> bytes:
    """Bounded while it inflates: 16 kB of deflate can stand for 16 MB."""
    try:
        compressed = base64.b64decode(encoded, validate=True)
        inflater = zlib.decompressobj(-15)
        raw = inflater.decompress(compressed, LOGOUT.max_bytes + 1)
    except (ValueError, zlib.error):
        raise ApiError(SAML_UNREADABLE, "encoding") from None
    if len(raw) > LOGOUT.max_bytes:
        raise ApiError(SAML_OVERSIZED, "bytes")
    if not inflater.eof or inflater.unused_data:
        raise ApiError(SAML_UNREADABLE, "encoding")
    return raw


def _is_signed(party: Party, query: str, parameters: Mapping[str, str], kind: str) -> bool:
    data = {**request_data(party.sls), "query_string": query, "validate_signature_from_qs": True}
    judge = OneLogin_Saml2_Auth(data, settings(party, party.sp_keys[0]))
    check = judge.validate_request_signature if kind == "SAMLRequest" else judge.validate_response_signature
    return bool(check(dict(parameters)))


def _check_logout(message: Element, party: Party, now: datetime, age: timedelta) -> None:
    issuers = [text(issuer) for issuer in message.findall(f"{{{SAML}}}Issuer")]
    if issuers != [party.idp_entity_id]:
        raise ApiError(SAML_LOGOUT, "issuer")
    if message.get("Destination") != party.sls:
        raise ApiError(SAML_LOGOUT, "destination")
    issued = instant(message, "IssueInstant", SAML_LOGOUT)
    if not now - age - SKEW <= issued <= now + SKEW:
        raise ApiError(SAML_LOGOUT, "issue_instant")
    if message.get("NotOnOrAfter") is not None and instant(message, "NotOnOrAfter", SAML_LOGOUT) + SKEW <= now:
        raise ApiError(SAML_LOGOUT, "not_on_or_after")


def utc_now() -> datetime:
    """The time, as the rules want it."""
    return datetime.now(UTC)
