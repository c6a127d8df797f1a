"""Which RSA keys of others are fit to verify with, wherever they are published: a key set, or a certificate."""

from __future__ import annotations

_BITS = range(2048, 8193)  # NIST SP 800-131A: 112 bits of strength; a huge key would make every check slow
_EXPONENT_BITS = 64  # and so would a huge exponent
# ROCA (CVE-2017-15361): primes of Infineon's library are k*M + (65537**a mod M), so that modulo each small prime the
# key is a power of 65537, and such keys can be factored. Of other keys about one in 2**27 looks like that.
_PRIMES = [p for p in range(3, 168, 2) if all(p % q for q in range(3, p, 2))]
_POWERS = [(p, frozenset(pow(65537, power, p) for power in range(p))) for p in _PRIMES]


def unfit(modulus: int, exponent: int) -> str | None:
    """Why a key must not be used: ``weak``, ``huge``, ``roca``; None where it may."""
    bits = modulus.bit_length()
    if bits < _BITS.start or exponent < 3:
        return "weak"
    if bits >= _BITS.stop or exponent.bit_length() > _EXPONENT_BITS:
        return "huge"
    return "roca" if all(modulus % prime in powers for prime, powers in _POWERS) else None
