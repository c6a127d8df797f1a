"""The names of this machine. On a developer's, pages and the service go by several, and for a browser each is a site.

What it was given under one name it does not show under another, and many browsers show nothing at all to a page of
another site. So a sign-in runs under ``PUBLIC_URL`` from its first step, whatever name it was asked by, and what a page
of this machine needs at its end is bound to that page's origin, of which browsers tell, in place of a cookie. A service
that others can reach has one name, and none of this happens.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from service.http.request import LOCAL_ORIGIN
from service.strict import LOOPBACK

_PAGE = re.compile(rf"({LOCAL_ORIGIN})(?=[/?]|\Z)")
_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class LocalNames:
    """The names that the service is asked by, and the pages beside it.

    Args:
        public_url: Its own origin.
        development: Whether it has others.
    """

    def __init__(self, public_url: str, *, development: bool) -> None:
        mine = urlsplit(public_url)
        self._development = development
        self._host = mine.hostname
        self._others: frozenset[str] = frozenset()
        if development and mine.scheme == "http" and mine.hostname in LOOPBACK:
            port = f":{mine.port}" if mine.port else ""
            self._others = frozenset(host + port for host in _HOSTS) - {mine.netloc}

    @property
    def several(self) -> bool:
        """Whether there are others than ``PUBLIC_URL``'s."""
        return bool(self._others)

    def is_other(self, host: str | None) -> bool:
        """Whether a Host header is another name of ours than ``PUBLIC_URL``'s."""
        return host in self._others

    def local_page(self, address: str | None) -> str | None:
        """The origin of a page of this machine, of any name and port: exactly those that CORS lets in; else None."""
        found = _PAGE.match(address) if self._development and address is not None else None
        return found[1] if found else None

    def neighbour(self, address: str | None) -> str | None:
        """The same where the service itself is on this machine alone."""
        return self.local_page(address) if self.several else None

    def is_apart(self, host: str | None, origin: str | None) -> bool:
        """Whether a browser would not show under ``PUBLIC_URL`` what the answer to a request gives it to keep.

        Args:
            host: The request's Host header: the name that it was sent to.
            origin: Its Origin header: the page that sent it.
        """
        page = self.neighbour(origin)
        return self.is_other(host) or (page is not None and urlsplit(page).hostname != self._host)
