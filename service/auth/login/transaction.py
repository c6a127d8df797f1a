"""Logins that are not finished: from the button to a token in the front end, whatever kind of provider is asked.

    transaction = logins.begin("okta", return_to)            # return_to is checked here
    ...                                                      # the kind adds what it must remember: transaction.private
    await logins.remember(request, response, transaction)    # a sealed cookie of this browser
    --- the provider ---
    transaction = await logins.take(request, "okta", state)  # this browser's, this provider's, once
    return await logins.conclude(transaction, grant)

Nothing here knows OpenID Connect. A kind of provider is an object with the methods of ``SignIn``; the routes call
nothing else. The transaction's ``id`` is what goes to the provider and comes back: as ``state`` of an authorization
request, as ``RelayState`` of a SAML request. What the kind has to compare with the answer (nonce and PKCE verifier,
the id of an AuthnRequest) goes into ``private``, which only this service can read. ``OneTime`` also serves what must
not be used twice, such as an assertion's id.

The cookie is bound to one provider and one transaction by its sealing, so that an answer of one provider is never
taken for another's (mix-up, RFC 9700, section 4.4), and tabs do not disturb each other, because each has its own.
"""

from __future__ import annotations

import re
import secrets as random
import time
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlencode, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from service.auth import errors
from service.auth.login.cookies import ID, Cookies
from service.auth.login.names import LocalNames
from service.auth.login.onetime import OneTime as OneTime
from service.auth.login.onetime import Use
from service.auth.login.sealing import SealBroken, Sealer
from service.auth.login.sign_in import Action
from service.auth.login.sign_in import Grant as Grant
from service.auth.login.sign_in import SignIn as SignIn
from service.auth.login.sign_in import Transaction as Transaction
from service.errors import ApiError

TRANSACTION_SECONDS = 600  # for a person to type a password and find the phone with the second factor
CODE_SECONDS = 60  # from the redirect to the front end's next request
MAX_OPEN = 8  # tabs with an unfinished login; each costs the browser's requests half a kilobyte
_TARGET = re.compile(r"[!#-;=?-\[\]_a-z~]{1,1024}\Z")  # RFC 3986's characters: no blank, quote, backslash, control
_SKEW = 30  # seconds that the clocks of two replicas may differ


class Logins:
    """Begins, remembers, takes and concludes logins.

    Args:
        sealer: For cookies and stored tokens.
        once: The database's memory.
        public_url: Our own origin.
        targets: Origins that ``return_to`` may name; exactly these.
        own_page: A page of ours that may also be named; None where there is none.
        cookie: What the names of its cookies begin with.
        development: Whether any page of this machine may be named too, and this service asked by its other names.
        now: Seconds since 1970.

    Attributes:
        names: Those names.
    """

    def __init__(
        self,
        sealer: Sealer,
        once: OneTime,
        *,
        public_url: str,
        targets: Iterable[str],
        own_page: str | None = None,
        cookie: str,
        development: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sealer = sealer
        self._once = once
        self._targets = tuple(targets)
        self._own_page = own_page
        self._now = now
        self._cookies = Cookies(public_url, cookie)
        self.names = LocalNames(public_url, development=development)

    def begin(self, provider: str, return_to: str | None, action: Action = "login") -> Transaction:
        """A new transaction.

        Args:
            provider: Name of the provider.
            return_to: What the caller asked for.
            action: What begins.

        Raises:
            ApiError: AUTH_041, it is not below an allowed origin.
        """
        if return_to is not None and not self._allowed(return_to):
            raise ApiError(errors.LOGIN_TARGET)
        return Transaction(random.token_urlsafe(16), provider, return_to, {}, action, self._now())

    async def remember(
        self, request: Request, response: Response, transaction: Transaction, *, cross_site: bool = False
    ) -> None:
        """Give the browser its half.

        Args:
            request: Of the browser.
            response: Gets the cookie.
            transaction: What to remember.
            cross_site: See ``SignIn.cross_site_post``.
        """
        for oldest in self._cookies.open(request)[: -MAX_OPEN + 1]:
            _set(response, self._cookies.end(request, oldest))
        content = orjson.dumps(
            {
                "p": transaction.provider,
                "r": transaction.return_to,
                "d": dict(transaction.private),
                "t": transaction.started_at,
            }
        )
        sealed = await self._sealer.seal_text(content, _purpose(transaction.action, transaction.id))
        host, origin = request.headers.get("host"), request.headers.get("origin")
        if transaction.action == "logout" and self.names.is_apart(host, origin):
            await self._once.keep(_kept(transaction.id), sealed.encode(), TRANSACTION_SECONDS)
        else:
            _set(response, self._cookies.write(transaction.id, sealed, TRANSACTION_SECONDS, cross_site=cross_site))

    async def take(
        self, request: Request, provider: str, transaction_id: str | None, action: Action = "login"
    ) -> Transaction:
        """The transaction that an answer belongs to; it cannot be taken again.

        Args:
            request: The browser's, with its cookies.
            provider: Whose callback was called.
            transaction_id: From the answer.
            action: What the callback is for.

        Raises:
            ApiError: AUTH_043, the answer came to another provider's callback; AUTH_040, this browser began no such
                login, or it is over.
        """
        transaction = await self.look(request, provider, transaction_id, action)
        await self._once.use((_use_of(transaction),))
        return transaction

    async def conclude(self, transaction: Transaction, grant: Grant, *, looked_at: bool = False) -> Response:
        """The answer to the browser: the token as JSON, or back to the front end with a one-time code.

        A token never is in an address: addresses are kept in histories and logs (RFC 9700, section 4.3).

        Args:
            transaction: What ends.
            grant: What it ends with. What it uses up is used together with the answer, or not at all.
            looked_at: Whether the transaction was not taken yet, and is used up now as well.

        Raises:
            ApiError: AUTH_040, or the row of what the grant uses: it was used before.
        """
        uses = ((_use_of(transaction),) if looked_at else ()) + grant.uses
        if transaction.return_to is None:
            await self._once.use(uses)
            response: Response = JSONResponse(self.token_body(grant))
            self.forget(response, transaction.id)
            return response
        code = f"{transaction.id}.{random.token_urlsafe(32)}"
        binding = self.names.neighbour(transaction.return_to) or random.token_urlsafe(32)
        content = orjson.dumps([grant.access_token, grant.expires_at, grant.id_token])
        sealed = await self._sealer.seal(content, _purpose("code", code + binding))
        await self._once.keep(code, sealed, CODE_SECONDS, uses)
        joint = "&" if urlsplit(transaction.return_to).query else "?"
        response = RedirectResponse(transaction.return_to + joint + urlencode({"login_code": code}), 303)
        # The front end may live on another site; what it sends along still has to hold the code.
        _set(response, self._cookies.write(transaction.id, binding, CODE_SECONDS, cross_site=self._cookies.secure))
        return response

    async def redeem(self, request: Request, code: str) -> tuple[Grant, list[str]]:
        """What a login code stands for.

        Returns:
            The grant, and the ``Set-Cookie`` values that end the login.

        Raises:
            ApiError: AUTH_045, it is unknown, used, expired, or another browser's.
        """
        transaction_id = code.partition(".")[0]
        binding = None
        if ID.match(transaction_id):
            page = self.names.neighbour(request.headers.get("origin"))
            binding = page or self._cookies.read(request, transaction_id)
        if binding is None:
            raise ApiError(errors.LOGIN_CODE, "no_cookie")
        # We take the code out before we judge it: if another browser sent it, with the wrong cookie, it has leaked.
        sealed = await self._once.redeem(code)
        if sealed is None:
            raise ApiError(errors.LOGIN_CODE, "unknown")
        try:
            content = await self._sealer.open(sealed, _purpose("code", code + binding))
        except SealBroken:
            raise ApiError(errors.LOGIN_CODE, "binding") from None
        return Grant(*orjson.loads(content)), self._cookies.end(request, transaction_id)

    def forget(self, response: Response, transaction_id: str) -> None:
        """Clear a login's cookie."""
        response.headers.append("Set-Cookie", self.ended(transaction_id))

    def ended(self, transaction_id: str) -> str:
        """The ``Set-Cookie`` value that clears a login's cookie."""
        return self._cookies.ended(transaction_id)

    def forget_all(self, request: Request, response: Response) -> None:
        """Clear every login cookie that a browser has sent."""
        for transaction_id in self._cookies.open(request):
            _set(response, self._cookies.end(request, transaction_id))

    def token_body(self, grant: Grant) -> dict[str, object]:
        """A grant as JSON (RFC 6749, section 5.1)."""
        found: dict[str, object] = {
            "access_token": grant.access_token,
            "token_type": "Bearer",
            "expires_in": max(0, int(grant.expires_at - self._now())),
        }
        return found | ({"id_token": grant.id_token} if grant.id_token else {})

    async def look(
        self, request: Request, provider: str, transaction_id: str | None, action: Action = "login"
    ) -> Transaction:
        """As ``take``, but it can be looked at again, until ``conclude`` uses it up."""
        if transaction_id is None or not ID.match(transaction_id):
            raise ApiError(errors.LOGIN_UNKNOWN, "no_state")
        sealed = self._cookies.read(request, transaction_id)
        if sealed is None and action == "logout" and self.names.several:
            kept = await self._once.redeem(_kept(transaction_id))
            sealed = kept.decode() if kept else None
        if sealed is None:
            raise ApiError(errors.LOGIN_UNKNOWN, "no_cookie")
        try:
            content = orjson.loads(await self._sealer.open_text(sealed, _purpose(action, transaction_id)))
        except SealBroken:
            raise ApiError(errors.LOGIN_UNKNOWN, "seal") from None
        if content["p"] != provider:
            raise ApiError(errors.LOGIN_MIXED, "callback_of_another_provider")
        if not -_SKEW <= self._now() - content["t"] <= TRANSACTION_SECONDS:
            raise ApiError(errors.LOGIN_UNKNOWN, "expired")
        return Transaction(transaction_id, content["p"], content["r"], content["d"], action, content["t"])

    def allows(self, target: str | None) -> bool:
        """Whether a browser may be sent there."""
        return target is not None and self._allowed(target)

    def _allowed(self, target: str) -> bool:
        """An origin of the list to the letter, or in development a page of this machine, and what is below it; parsers
        disagree on odd addresses, so none is parsed."""
        if not _TARGET.match(target) or "#" in target or "login_code" in unquote(target):
            return False
        if target == self._own_page or self.names.local_page(target) is not None:
            return True
        return any(target == origin or target.startswith((origin + "/", origin + "?")) for origin in self._targets)


def _set(response: Response, cookies: Iterable[str]) -> None:
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie)


def _kept(transaction_id: str) -> str:
    """No login code: those have a dot."""
    return f"logout:{transaction_id}"


def _use_of(transaction: Transaction) -> Use:
    return Use(
        kind=transaction.action, value=transaction.id, seconds=TRANSACTION_SECONDS + 60, again=errors.LOGIN_UNKNOWN
    )


def _purpose(kind: str, value: str) -> bytes:
    return f"{kind}:{value}".encode()
