"""What an unauthenticated sender can make us compute: measured in processor time, at the limits and by a generator.

``SAML_WORK_SECONDS`` lets the generator run for longer than the few seconds of a usual run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.auth import errors
from service.auth.saml import library
from service.auth.saml import screen as module
from service.auth.saml.grammar import MAX_PREFIXES, RESPONSE
from service.auth.saml.library import accept
from service.auth.saml.screen import screen
from service.errors import ApiError
from tests.support.saml.mint import expected, party
from tests.support.saml.provider import key_pair
from tests.support.saml.work import document

PROMISED = 0.1  # seconds of processor time for one document
MARGIN = 3  # how much slower than a core of today a machine may be that runs this beside other work
BUDGET = float(os.environ.get("SAML_WORK_SECONDS", "4"))


FEDERATION = party(
    *(key_pair(name) for name in ("idp", "other", "third", "fourth", "fifth"))
)  # as many as there can be


def cost(raw: bytes) -> tuple[float, str]:
    """Processor time of a judgement, and the reason it ends with."""
    begun = time.process_time()
    with pytest.raises(ApiError) as refused:
        accept(raw, expected(), FEDERATION)
    return time.process_time() - begun, str(refused.value.reason)


def test_the_response_that_cost_thirteen_seconds_is_refused_before_a_library_sees_it() -> None:
    taken, reason = cost(document(elements=1_000, namespaces=1_000, prefixes=2_000))
    assert reason == "namespaces"
    assert taken < PROMISED * MARGIN


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (document(namespaces=module._MAX_IN_SCOPE + 1), "namespaces"),
        (document(prefixes=MAX_PREFIXES + 1), "prefixes"),
        (document(elements=4_000, namespaces=60, prefixes=16), "work"),
        (document(elements=1_000, attributes=30), "work"),
        (document(transforms=2), "transforms"),
        (document().replace(b"PrefixList", b"PrefixLists"), "attribute"),
        (document().replace(b'PrefixList=""', b'PrefixList="a a"'), "prefixes"),
        (document().replace(b'PrefixList=""', b'PrefixList="a:b"'), "prefixes"),
        (document().replace(b"InclusiveNamespaces", b"ExclusiveNamespaces"), "element"),
    ],
)
def test_each_wall_stands_alone(raw: bytes, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        screen(raw, RESPONSE)
    assert refused.value.reason == reason
    assert refused.value.error in (errors.SAML_OVERSIZED, errors.SAML_CONSTRUCT)


def test_the_product_is_what_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that wall, factors that are each admitted cost more than is promised."""
    raw = document(elements=4_900, namespaces=60, prefixes=16)
    assert cost(raw)[1] == "work"
    monkeypatch.setattr(library, "RESPONSE", replace(RESPONSE, max_work=1 << 60))
    assert cost(raw)[0] > PROMISED


def _admitted(make: Callable[[random.Random], bytes], seed: int) -> bytes | None:
    raw = make(random.Random(seed))  # noqa: S311
    try:
        screen(raw, RESPONSE)
    except ApiError:
        return None
    return raw


def _any(choice: random.Random) -> bytes:
    """A document of the grammar whose factors are drawn towards their limits, and scaled to what is admitted."""
    namespaces, prefixes = choice.randint(0, 60), choice.choice([0, 0, 1, 4, 16])
    attributes, repeated = choice.choice([0, 0, 4, 30]), choice.choice([0, 0, 2, 8])
    share = (1 + namespaces + repeated + 2) * (1 + prefixes) + attributes * 200
    elements = min(4_900, int(RESPONSE.max_work / share * choice.uniform(0.8, 1.0)), 3_900 // max(repeated, 1))
    size = 40 + repeated * 18 + attributes * 8
    elements = min(elements, 250_000 // size)
    text = max(0, (250_000 - elements * size) // max(elements, 1)) if choice.random() < 0.3 else 0
    within = choice.choice(["assertion", "response"])
    return document(elements, namespaces, prefixes, attributes, repeated, text, within=within)


def test_nothing_that_is_admitted_costs_more_than_is_promised() -> None:
    begun, seed, dearest, judged = time.monotonic(), 0, (0.0, 0), 0
    cost(document())  # what a library does once
    while time.monotonic() - begun < BUDGET:
        seed += 1
        raw = _admitted(_any, seed)
        if raw is not None:
            judged += 1
            dearest = max(dearest, (min(cost(raw)[0], cost(raw)[0]), seed))  # the better of two: caches are cold once
    print(f"{judged} documents judged, the dearest (seed {dearest[1]}) {dearest[0] * 1000:.1f} ms")  # noqa: T201
    assert judged > 10
    assert dearest[0] < PROMISED * MARGIN, f"seed {dearest[1]} cost {dearest[0]:.3f} s"
