"""Tokens that we issue: KMS signs them, a logout ends them."""
