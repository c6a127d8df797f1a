"""The base of every failure that a person at the keyboard can act on."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818  the base: what failed is in the subclass's name
    """A step failed. The text names the thing, the reason and what to do; the command prints it and exits with 1."""
