"""Who calls: provider settings, their signing keys, token validation, the principal."""
