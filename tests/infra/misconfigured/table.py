"""The table. A preset without rows fails `test_causes.py`: add at least what its own documentation warns of."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from tests.infra.misconfigured.world import API_ID, TID, Change, Row, World
from tests.support.idp.issuer import SigningKey
from tests.support.saml.metadata import document
from tests.support.saml.provider import key_pair

JWE = ".".join(
    [base64.urlsafe_b64encode(json.dumps({"alg": "dir", "enc": "A256GCM"}).encode()).decode().rstrip("=")]
    + ["AAAA"] * 4
)


def sets(**settings: str) -> Change:
    return lambda world: world.settings.update(settings)


def both(first: Change, second: Change) -> Change:
    def change(world: World) -> None:
        first(world)
        second(world)

    return change


def says(**metadata: Any) -> Change:
    return lambda world: world.provider.metadata.update(metadata)


def answers(path: str, status: int, body: bytes = b"") -> Change:
    return lambda world: world.provider.answers.update({path: lambda: (status, body)})


def sends(**changes: Any) -> Change:
    return lambda world: world.sends(**changes)


def types(text: str) -> Change:
    return lambda world: setattr(world, "token", text)


def publishes(body: bytes, status: int = 200) -> Change:
    def change(world: World) -> None:
        world.metadata.body, world.metadata.status = body, status

    return change


def lives(seconds: int) -> Change:
    return lambda world: world.sends(exp=int(time.time()) + seconds)


DISCOVERY = "/.well-known/openid-configuration"
WEAK = SigningKey("weak", bits=1024)
OTHER = SigningKey("k1")

ROWS: tuple[Row, ...] = (
    # --- the way there, alike for all kinds ---
    Row("oidc", "the host is misspelt", "ConnectError", "name does not resolve", "DNS",
        sets(DISCOVERY_URL="https://idp.invalid/discovery")),
    Row("keycloak", "it does not run", "ConnectError", "nothing listens", "host and port",
        lambda world: world.settings.update(DISCOVERY_URL=world.nobody())),
    Row("oidc", "a firewall drops it", "timeout", "within 5 s", "firewall", lambda world: world.silent()),
    Row("keycloak", "the certificate is for another name", "ConnectError", "made for another host name",
        "take the name that the certificate has",
        lambda world: world.answering("localhost", "sso.example.com", trusted=True)),
    Row("oidc", "a company's own authority", "ConnectError", "authority that is not known here", "SSL_CERT_FILE",
        lambda world: world.answering("localhost", "localhost", trusted=False)),
    Row("okta", "the certificate has ended", "ConnectError", "certificate has ended", "renewed",
        lambda world: world.answering("localhost", "localhost", trusted=True, ended=True)),
    Row("oidc", "https at a port of http", "ConnectError", "does not speak TLS", "scheme and port",
        lambda world: world.settings.update(DISCOVERY_URL=world.provider.url.replace("http:", "https:") + "/x")),
    Row("keycloak", "a realm that is not there", "status_404", "nothing at that address", "realm",
        answers(DISCOVERY, 404)),
    Row("oidc", "the address is of a page", "not_json", "no JSON", "provider's own address",
        answers(DISCOVERY, 200, b"<html>sign in</html>")),
    Row("auth0", "the address moved", "status_302", "redirects us", "name the address", answers(DISCOVERY, 302)),
    Row("oidc", "discovery wants a sign-in", "status_401", "wants a sign-in", "public address",
        answers(DISCOVERY, 401)),
    Row("okta", "the provider is broken", "status_503", "provider itself fails", "status page",
        answers(DISCOVERY, 503)),
    Row("oidc", "its keys are too weak", "0 of 1 usable", "RSA of 2048", "none of its keys can be used",
        lambda world: setattr(world.provider, "keys", [WEAK.jwk()])),
    Row("oidc", "JWKS_URL is wrong", "status_404", "/keys", "JWKS_URL", answers("/keys", 404)),
    # --- discovery about another issuer ---
    Row("oidc", "a / too many", "discovery_issuer_differs", r'"https://idp.example.com".*"https://idp.example.com/"',
        "last /.*has no / at the end.*set IDP__P__ISSUER", sets(ISSUER="https://idp.example.com/")),
    Row("auth0", "a / too few", "IDP__P__ISSUER", "Auth0's iss does", "must end with /", sets(ISSUER="https://example.eu.auth0.com")),
    Row("oidc", "a / too few", "discovery_issuer_differs", r'"https://idp.example.com/".*"https://idp.example.com"',
        "last /.*has a / at the end", says(issuer="https://idp.example.com/")),
    Row("auth0", "a custom domain", "discovery_issuer_differs", "login.example.com.*example.eu.auth0.com",
        "custom domain", says(issuer="https://login.example.com/")),
    Row("oidc", "upper case", "discovery_issuer_differs", "IDP.example.com", "upper and lower case",
        sets(ISSUER="https://IDP.example.com")),
    Row("oidc", "another provider's discovery", "discovery_issuer_differs", "other.example", "two providers",
        says(issuer="https://other.example/realm")),
    Row("oidc", "no OpenID configuration", "discovery_issuer_differs", "absent", "that is no issuer", says(issuer=...)),
    Row("entra", "version 1 of the endpoints", "discovery_issuer_differs", "sts.windows.net",
        "version 1.*end ISSUER with /v2.0", says(issuer=f"https://sts.windows.net/{TID}/")),
    Row("entra", "the directory by its domain", "discovery_issuer_differs", f"{TID}.*contoso",
        "directory's id", sets(ISSUER="https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0")),
    Row("okta", "the org authorization server's discovery", "discovery_issuer_differs",
        r'"https://example.okta.com".*oauth2/default', "org authorization server.*/oauth2/default",
        says(issuer="https://example.okta.com")),
    Row("okta", "the org authorization server in ISSUER", "IDP__P__ISSUER", "org authorization server.*opaque",
        "name a custom one.*/oauth2/default", sets(ISSUER="https://example.okta.com")),
    Row("auth0", "no AUDIENCE", "IDP__P__AUDIENCE", "opaque without one", "make an API there", sets(AUDIENCE="")),
    Row("oidc", "Google's issuer", "IDP__P__KIND", "judged by other rules", "must be google",
        sets(ISSUER="https://accounts.google.com")),
    Row("oidc", "a provider of opaque tokens alone", "IDP__P__ISSUER", "are opaque", "sign its people in through",
        sets(ISSUER="https://www.linkedin.com/oauth")),
    Row("okta", "another authorization server", "discovery_issuer_differs", "aus1.*oauth2/default",
        "another of the authorization servers", says(issuer="https://example.okta.com/oauth2/aus1")),
    Row("keycloak", "/auth of old versions", "discovery_issuer_differs", "/auth/realms/clinic",
        "/auth, which Keycloak has before version 17", says(issuer="https://sso.example.com/auth/realms/clinic")),
    Row("keycloak", "http behind a proxy", "discovery_issuer_differs", '"http://sso.example.com',
        "scheme.*KC_HOSTNAME", says(issuer="http://sso.example.com/realms/clinic")),
    Row("keycloak", "an inner name", "discovery_issuer_differs", "keycloak:8080", "KC_HOSTNAME",
        says(issuer="https://keycloak:8080/realms/clinic")),
    Row("google", "a / too many", "discovery_issuer_differs", "accounts.google.com",
        "https://accounts.google.com, without a /", sets(ISSUER="https://accounts.google.com/")),
    Row("cognito", "the pool's other issuer", "discovery_issuer_differs", "issuer-cognito-idp",
        "other form of the same pool", says(issuer="https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE")),
    Row("cognito", "another pool", "discovery_issuer_differs", "us-east-1_OTHER", "another user pool.*UserPoolIssuer",
        says(issuer="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_OTHER")),
    # --- tokens that only their provider can read ---
    Row("auth0", "no audience: opaque", "AUTH_002", "opaque: 1 parts", "set AUDIENCE.*audience at sign-in",
        types("a" * 32)),
    Row("auth0", "no audience: encrypted", "AUTH_002", "encrypted .JWE", "set AUDIENCE", types(JWE)),
    Row("google", "an access token", "AUTH_002", "opaque: 2 parts", "send id_token", types("ya29.a0AfH6SMBx")),
    Row("cognito", "a refresh token", "AUTH_002", "encrypted .JWE", "access_token; its refresh token", types(JWE)),
    Row("oidc", "an opaque token", "AUTH_002", "no JWT but opaque", "RFC 9068.*AUDIENCE", types("deadbeef")),
    Row("okta", "an opaque token", "AUTH_002", "no JWT but opaque", "/oauth2/default", types("deadbeef")),
    Row("entra", "an encrypted token", "AUTH_002", "encrypted .JWE", "scope in SCOPES", types(JWE)),
    Row("keycloak", "a lightweight token", "AUTH_002", "no JWT but opaque", "lightweight", types("deadbeef")),
    Row("oidc", "cut off", "AUTH_002", "three parts, and one is no", "cut off", types("eyJhbGciOiJSUzI1NiJ9.eyJpc.A")),
    # --- tokens of the wrong server, version, client, kind ---
    Row("cognito", "the ID token", "AUTH_008", "token_use = access", "Cognito's ID token: send access_token",
        sends(token_use="id")),
    Row("cognito", "another app client", "AUTH_007", 'client_id "mobile"', "UserPoolClientId",
        sends(client_id="mobile")),
    Row("cognito", "AUDIENCE is set", "AUTH_007", "aud has https://api.*aud absent", "unset AUDIENCE",
        both(sets(AUDIENCE="https://api.example.com"), sends())),
    Row("cognito", "no tenant", "AUTH_030", "tenant_id", "V2_0.*custom:tenant_id", sends(tenant_id=...)),
    Row("cognito", "the pool's other issuer in tokens", "AUTH_004", "issuer-cognito-idp", "other form of the same pool",
        sends(iss="https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE")),
    Row("okta", "the org authorization server's token", "AUTH_004", '"https://example.okta.com"',
        "org authorization server", sends(iss="https://example.okta.com")),
    Row("okta", "another API", "AUTH_007", 'aud "api://other"', "api://default", sends(aud="api://other")),
    Row("okta", "a service's token", "AUTH_009", "uid", "client credentials", sends(uid=...)),
    Row("okta", "the ID token", "AUTH_008", "without at_hash", "send access_token", sends(nonce="n")),
    Row("okta", "no tenant", "AUTH_030", "tenant_id", "Security, API, Claims", sends(tenant_id=...)),
    Row("auth0", "another API", "AUTH_007", "aud has https://api.example.com", "identifier of the API in Auth0",
        sends(aud="https://other.example.com")),
    Row("auth0", "a claim without a namespace", "AUTH_030", "https://api.example.com/tenant_id", "post-login Action",
        sends(**{"https://api.example.com/tenant_id": ..., "tenant_id": "acme"})),
    Row("auth0", "a day long", "AUTH_011", "an hour apart", "token expiration to 3600", lives(86_400)),
    Row("entra", "a version 1 token", "AUTH_004", "sts.windows.net", "requestedAccessTokenVersion",
        sends(iss=f"https://sts.windows.net/{TID}/", ver="1.0")),
    Row("entra", "a token for Graph", "AUTH_008", "typ of", "Microsoft Graph.*SCOPES", sends(header={"nonce": "n"})),
    Row("entra", "AUDIENCE is the address", "AUTH_007", f"api://{API_ID}.*{API_ID}", "client id .a GUID.",
        both(sets(AUDIENCE=f"api://{API_ID}"), sends())),
    Row("entra", "75 minutes", "AUTH_011", "an hour apart", "AccessTokenLifetime", lives(4500)),
    Row("entra", "an organisation that is not listed", "AUTH_033", "mapped", "tid=tenant",
        both(sets(TENANTS=f"{API_ID}=acme"), sends())),
    Row("keycloak", "no audience mapper", "AUTH_007", 'aud "account"', "Audience mapper", sends(aud="account")),
    Row("keycloak", "the ID token", "AUTH_008", "typ = Bearer", "not the ID token", sends(typ="ID")),
    Row("keycloak", "the refresh token", "AUTH_003", "alg of ES256", "refresh tokens with HS512",
        sends(header={"alg": "HS512"})),
    Row("keycloak", "an inner name in tokens", "AUTH_004", "keycloak:8080", "KC_HOSTNAME",
        sends(iss="https://keycloak:8080/realms/clinic")),
    Row("keycloak", "no tenant mapper", "AUTH_030", "tenant_id", "User Attribute mapper", sends(tenant_id=...)),
    Row("google", "a private account", "AUTH_030", "hd", "private account", sends(hd=...)),
    Row("google", "another domain", "AUTH_033", "acme.example = acme", "domain=tenant", sends(hd="other.example")),
    Row("google", "another client", "AUTH_007", 'aud "mobile"', "ID token of another client", sends(aud="mobile")),
    Row("google", "the old issuer", "AUTH_004", '"accounts.google.com"', "without https://",
        sends(iss="accounts.google.com")),
    Row("oidc", "signed with a shared secret", "AUTH_003", "alg of ES256", "asymmetric",
        sends(header={"alg": "HS256"})),
    Row("oidc", "another environment's key", "AUTH_005", "key of the provider's set", "another environment",
        sends(header={"kid": "k9"})),
    Row("oidc", "keys of another set", "AUTH_006", "key of the provider's set", "changed on the way",
        lambda world: world.sends(key=OTHER)),
    Row("oidc", "yesterday's token", "AUTH_001", "now ", "get a fresh one",
        sends(iat=1_600_000_000, exp=1_600_003_600)),
    Row("oidc", "its clock is ahead", "AUTH_010", "iat", "compare the clock",
        lambda world: world.sends(iat=int(time.time()) + 600, exp=int(time.time()) + 1200)),
    Row("oidc", "a tenant that is not listed", "AUTH_033", "one of acme", "TENANTS", sends(tenant_id="globex")),
    Row("oidc", "bound to a key", "AUTH_012", "access token", "DPoP", sends(cnf={"jkt": "x"})),
    Row("oidc", "a token of nobody that is configured", "AUTH_004", "https://who.example", "no IDP__<NAME>__ISSUER",
        sends(iss="https://who.example/x")),
    Row("oidc", "its keys cannot be fetched", "SYS_003", "key of the provider's set", "nothing listens",
        both(lambda world: world.settings.update(JWKS_URL=world.nobody()), sends())),
    # --- SAML ---
    Row("saml", "a / too many", "entity_id", 'ISSUER is "https://idp.example.org/metadata/"',
        "to the letter, and it has",
        sets(ISSUER="https://idp.example.org/metadata/")),
    Row("saml", "the address is of a page", "doctype", "DOCTYPE", "take the provider's metadata address",
        publishes(b"<!DOCTYPE html><html></html>")),
    Row("saml", "a service's metadata", "role", "no SAML 2.0 role", "not of a service",
        publishes(document().replace(b"IDPSSODescriptor", b"SPSSODescriptor"))),
    Row("saml", "old metadata", "valid_until", "validUntil is 2020", "fetch it anew",
        publishes(document(more='validUntil="2020-01-01T00:00:00Z"'))),
    Row("saml", "a sign-in without TLS", "address", "http://idp.intranet/sso", "https address",
        publishes(document(sso="http://idp.intranet/sso"))),
    Row("saml", "HTTP-POST alone", "no_redirect_sign_in", "no SingleSignOnService for HTTP-Redirect",
        "switch that binding on",
        publishes(document().replace(b"HTTP-Redirect", b"HTTP-POST"))),
    Row("saml", "not signed by the federation", "signature", "no signature covers", "unset that",
        sets(METADATA_CERTIFICATE=key_pair("federation").one_line)),
    Row("saml", "no such file", "FileNotFoundError", "METADATA_FILE is /nowhere.xml", "path inside the container",
        both(lambda world: world.settings.pop("METADATA_URL"), sets(METADATA_FILE="/nowhere.xml"))),
    Row("saml", "it is gone", "status_404", "nothing at that address", "misses a part", publishes(b"", 404)),
    Row("saml", "it does not run", "ConnectError", "nothing listens", "host and port",
        lambda world: world.settings.update(METADATA_URL=world.nobody())),
)  # fmt: skip
