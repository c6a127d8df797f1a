"""Sign a demo user in the way a browser does: authorization code with PKCE through the pool's hosted page."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

from infra.local import plain
from infra.shell.failure import Failure


class SignInError(Failure):
    """The hosted page did not let the user in; the text says at which step."""


@dataclass(frozen=True, slots=True)
class Client:
    """The application client of the pool.

    Attributes:
        authorize_url: The pool's authorization endpoint.
        token_url: Its token endpoint.
        client_id: Of the application.
        redirect_uri: Registered with the pool.
        scope: Scopes to ask for, separated by blanks.
    """

    authorize_url: str
    token_url: str
    client_id: str
    redirect_uri: str
    scope: str = "openid email profile"


class _Form(HTMLParser):
    """The first form of a page: where it goes, and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = values.get("action", "")
        elif tag == "input" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")


def sign_in(client: Client, username: str, password: str) -> dict[str, str]:
    """Get tokens for a user.

    Args:
        client: The application client.
        username: As typed into the page.
        password: Likewise.

    Returns:
        ``access_token``, ``id_token``, ``refresh_token``.

    Raises:
        SignInError: A step was refused.
        httpx.HTTPError: The pool cannot be reached.
    """
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with plain.client(15) as browser:
        page = browser.get(
            client.authorize_url,
            params={
                "response_type": "code",
                "client_id": client.client_id,
                "redirect_uri": client.redirect_uri,
                "scope": client.scope,
                "state": state,
                "nonce": secrets.token_urlsafe(16),
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            },
        )
        form = _Form()
        form.feed(page.text)
        if page.status_code != 200 or form.action is None:
            raise SignInError(f"the hosted page answered {page.status_code} and shows no form")
        target = urljoin(str(page.url), form.action)
        answer = browser.post(target, data={**form.fields, "username": username, "password": password})
        query = parse_qs(urlsplit(answer.headers.get("location", "")).query)
        if answer.status_code not in (302, 303) or query.get("state") != [state] or "code" not in query:
            raise SignInError(f"the hosted page refused the sign-in ({answer.status_code})")
        tokens = browser.post(
            client.token_url,
            data={
                "grant_type": "authorization_code",
                "code": query["code"][0],
                "client_id": client.client_id,
                "redirect_uri": client.redirect_uri,
                "code_verifier": verifier,
            },
        )
        if tokens.status_code != 200:
            raise SignInError(f"the token endpoint answered {tokens.status_code}")
        found: dict[str, str] = tokens.json()
        return found
