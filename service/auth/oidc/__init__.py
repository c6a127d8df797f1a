"""OpenID Connect as a relying party; a kind of sign-in."""
