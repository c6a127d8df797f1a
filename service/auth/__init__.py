"""Who calls, and for which tenant: providers, tokens, sign-in."""
