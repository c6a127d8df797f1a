"""Tools that take seconds each run when they are asked for: `-m consumers`, or their file by name."""

from __future__ import annotations

import pytest

from tests.conftest import _is_whole


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out of a whole run (.ci/run has a step for them)."""
    if _is_whole(config):
        slow = [item for item in items if item.get_closest_marker("consumers")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
