"""A SAML provider and what it may send."""
