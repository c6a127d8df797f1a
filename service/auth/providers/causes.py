"""Why a provider's answer cannot be had or used, as a person who configures it is told: what it is, and what to do.

The causes are fixed texts, fit for the log. What quotes the other side is for the terminal alone.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

_WHOLE = re.compile(r"https?://[!-~]{1,500}\Z")
_CERTIFICATE_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and ..._IP_ADDRESS_MISMATCH
_CERTIFICATE_ENDED = (9, 10)  # not yet valid, expired
_AUTHORITY = (2, 18, 19, 20, 21)  # no issuer, self-signed, one in the chain, no local issuer, no first signature

# By the reason code, or by what a connection failed for.
CAUSES: Mapping[str, str] = {
    "name": "the host's name does not resolve: compare it with the provider's documentation, and ask the DNS of the "
    "network that the service runs in",
    "refused": "nothing listens at that host and port: compare both, and see that the provider runs and lets this "
    "network in",
    "unreachable": "there is no way to that host from here: see the network's routes and whether it may reach out",
    "cut": "the other side cut the connection: a proxy or firewall between, or a port that speaks something else",
    "timeout": "nothing came within 5 s: a firewall that drops what is sent there, or a provider that is overloaded",
    "certificate_name": "its certificate is made for another host name: take the name that the certificate has, or "
    "have a certificate made for this one",
    "certificate_ended": "its certificate has ended, or is not valid yet: have it renewed, and compare the clocks",
    "certificate_authority": "its certificate is signed by an authority that is not known here: where that is your "
    "company's own, name in SSL_CERT_FILE a PEM file that has the public authorities and that one, for the service "
    "and for this command; the public ones are in `uv run python -m certifi`",
    "tls": "it does not speak TLS at that port: compare scheme and port",
    "not_http": "what answers there does not speak HTTP: compare host and port",
    "compressed": "it compresses though we ask it not to: switch that off for this address, or for `identity`",
    "too_large": "its answer is larger than we read: the address is of something else",
    "not_json": "its answer is no JSON object, such as a page for people or a sign-in: take the provider's own address "
    "of it, and one that needs no sign-in",
    "status_3": "it redirects us, and we follow no redirect: name the address at the end of that in the settings",
    "status_401": "it wants a sign-in for what is to be public: take the provider's public address",
    "status_403": "it refuses this network: see whether the provider admits the service's addresses",
    "status_404": "there is nothing at that address: ISSUER (or DISCOVERY_URL, JWKS_URL) misses a part or has one too "
    "many, such as a realm, a tenant or an authorization server",
    "status_5": "the provider itself fails: see its status page, and try again",
    "discovery_issuer_differs": "discovery is about another issuer than ISSUER: `signalbox auth check` shows both",
    "discovery_jwks_uri_unfit": "discovery names no https address of a key set: name it in JWKS_URL",
    "no_usable_key": "none of its keys can be used: have the provider sign with RSA of 2048 bits or more, or with EC",
}


def cause_of(reason: str) -> str:
    """The text of a reason or cause; "" where the reason has to do."""
    return CAUSES.get(reason) or CAUSES.get(reason[: len("status_5")], "")


def cause_of_network(failure: BaseException) -> str | None:
    """Which of the unlike things that one class of the library stands for went wrong; None where none is known."""
    for each in _chain(failure):
        if isinstance(each, ssl.SSLCertVerificationError):
            return _of_certificate(each.verify_code)
        if isinstance(each, ssl.SSLError):
            return "tls"
        if isinstance(each, socket.gaierror):
            return "name"
        for kind, cause in (
            (ConnectionRefusedError, "refused"),
            (ConnectionError, "cut"),
            (TimeoutError, "timeout"),
        ):
            if isinstance(each, kind):
                return cause
        if isinstance(each, OSError) and each.errno in _UNREACHABLE:
            return "unreachable"
    return "not_http" if type(failure).__name__ == "RemoteProtocolError" else None


_UNREACHABLE = (101, 113, 51, 65)  # ENETUNREACH, EHOSTUNREACH on Linux and macOS


def _of_certificate(code: int) -> str | None:
    for codes, cause in (
        (_CERTIFICATE_NAME, "certificate_name"),
        (_CERTIFICATE_ENDED, "certificate_ended"),
        (_AUTHORITY, "certificate_authority"),
    ):
        if code in codes:
            return cause
    return None


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """What an exception was made of, the nearest first; libraries wrap the operating system's word several times."""
    waiting, seen = [failure], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [found for found in (each.__cause__, each.__context__, *inner) if found is not None]


def shown(value: object) -> str:
    """What the other side says, bounded, and nothing in it that a terminal would obey."""
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def issuers_differ(kind: str, name: str, configured: str, found: object) -> str:
    """How an issuer that a provider states differs from the settings', and what to do.

    Args:
        kind: Of provider.
        name: Of the provider, for the name of the variable.
        configured: ``ISSUER``.
        found: What discovery, or a token, says.
    """
    variable = f"IDP__{name.upper()}__ISSUER"
    both = f"it says {shown(found)}, and {variable} is {shown(configured)}"
    if not isinstance(found, str) or not _WHOLE.match(found):
        return (
            f"{both}: that is no issuer; {_NO_ISSUER.get(kind, 'see that the address is of an OpenID configuration')}"
        )
    try:
        ours, theirs = urlsplit(configured), urlsplit(found)
        return f"{both}: {_difference(kind, variable, ours, theirs, found)}"
    except ValueError:
        return f"{both}: compare them to the letter"


_NO_ISSUER: Mapping[str, str] = {
    "google": "Google's old issuer is accounts.google.com without https://: take tokens of its current endpoints",
}


def _difference(kind: str, variable: str, ours: SplitResult, theirs: SplitResult, found: str) -> str:
    take = f"set {variable} to exactly what it says, where that is your provider"
    own = _OF_KIND[kind](ours, theirs) if kind in _OF_KIND else None
    if own:
        return own.format(take=take, found=found)
    if ours.path.rstrip("/") == theirs.path.rstrip("/") and ours.path != theirs.path and ours.netloc == theirs.netloc:
        ending = "has a / at the end" if found.endswith("/") else "has no / at the end"
        return f"they differ in the last /, and the provider's {ending}: {take}"
    if ours.netloc.lower() == theirs.netloc.lower() and ours.path == theirs.path:
        if ours.scheme != theirs.scheme:
            return (
                f"they differ in the scheme: a provider behind a proxy that says {theirs.scheme}:// has to be told the "
                f"address that others see (Keycloak: KC_HOSTNAME, KC_PROXY_HEADERS)"
            )
        return f"they differ in upper and lower case alone: {take}"
    if ours.path == theirs.path:
        return f"they differ in the host, as with a custom domain beside the provider's own: use one all over; {take}"
    if ours.netloc == theirs.netloc:
        return f"they differ in the path, which names the realm, tenant, version or authorization server: {take}"
    return f"they are two providers: compare ISSUER and DISCOVERY_URL; {take}"


def _entra(ours: SplitResult, theirs: SplitResult) -> str | None:
    if theirs.hostname == "sts.windows.net" or not theirs.path.rstrip("/").endswith("/v2.0"):
        return (
            "that is version 1 of the endpoints and tokens, and the preset is for version 2: end ISSUER with /v2.0, "
            "unset DISCOVERY_URL, and set requestedAccessTokenVersion to 2 in the manifest of the API's registration"
        )
    if not ours.path.rstrip("/").endswith("/v2.0"):
        return "the settings name version 1: end ISSUER with /v2.0"
    if ours.hostname == theirs.hostname:
        return "an issuer of Entra has the directory's id in it, and not its domain's name: {take}"
    return None


def _okta(ours: SplitResult, theirs: SplitResult) -> str | None:
    ours_custom, theirs_custom = ours.path.startswith("/oauth2/"), theirs.path.startswith("/oauth2/")
    if ours_custom and not theirs_custom:
        return (
            "that is the org authorization server, whose access tokens are for Okta alone: ask a custom one, such as "
            "https://{{your domain}}/oauth2/default, for the token and for discovery"
        ).replace("{{your domain}}", ours.netloc)
    if theirs_custom and not ours_custom:
        return "the settings name the org authorization server, whose tokens are for Okta alone: {take}"
    if ours.netloc == theirs.netloc:
        return "it is another of the authorization servers there (Security, API): use one all over; {take}"
    return None


def _keycloak(ours: SplitResult, theirs: SplitResult) -> str | None:
    if ours.path != theirs.path and ours.path.removeprefix("/auth") == theirs.path.removeprefix("/auth"):
        return "they differ in /auth, which Keycloak has before version 17, or with KC_HTTP_RELATIVE_PATH: {take}"
    if ours.netloc != theirs.netloc and ours.path == theirs.path:
        return (
            "they differ in the host: Keycloak takes the name that it is asked by, so an inner one comes out of inner "
            "requests: set KC_HOSTNAME to the one that all use; {take}"
        )
    return None


def _cognito(ours: SplitResult, theirs: SplitResult) -> str | None:
    hosts = {(host.hostname or "").replace("issuer-cognito-idp.", "cognito-idp.") for host in (ours, theirs)}
    if len(hosts) == 1 and ours.netloc != theirs.netloc:
        return "it is the other form of the same pool's issuer (IssuerConfiguration of the pool): {take}"
    if ours.netloc == theirs.netloc:
        return "it is another user pool: compare it with the stack's output UserPoolIssuer; {take}"
    return None


def _google(ours: SplitResult, theirs: SplitResult) -> str | None:
    return "Google's issuer is https://accounts.google.com, without a / at the end: {take}" if ours != theirs else None


_OF_KIND = {"entra": _entra, "okta": _okta, "keycloak": _keycloak, "cognito": _cognito, "google": _google}
