"""Peers and processes that tests talk to."""
