"""The product's features beside those that the tests bring along."""

from __future__ import annotations

from service.feature import Feature
from service.product import FEATURES


def beside(*brought: Feature) -> tuple[Feature, ...]:
    """All of them, each name once: an example that was taken over is one of the product's.

    Args:
        brought: What a test needs, and the product may have.
    """
    taken = {feature.name for feature in FEATURES}
    return (*FEATURES, *(feature for feature in brought if feature.name not in taken))
