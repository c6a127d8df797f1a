"""What an unauthenticated sender can make us compute: measured in processor time, at the limits and by a generator.

``SAML_WORK_SECONDS`` lets the generator run for longer than the few seconds of a usual run; docs/SAML_WORK.md has what
ten minutes of it showed, and why there is nothing else to find.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import xmlsec

from service.auth import errors
from service.auth.saml import library
from service.auth.saml import screen as module
from service.auth.saml.grammar import MAX_PREFIXES, RESPONSE
from service.auth.saml.library import accept
from service.auth.saml.screen import screen
from service.errors import ApiError
from tests.support.saml.mint import expected, party, response
from tests.support.saml.provider import key_pair
from tests.support.saml.work import dearest, document, drawn

PROMISED = 0.1  # seconds of processor time for one document
MARGIN = 3  # how much slower than a core of today a machine may be that runs this beside other work
BUDGET = float(os.environ.get("SAML_WORK_SECONDS", "1"))


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
        (document(elements=3_400, namespaces=60, prefixes=16), "work"),
        (document(elements=1_000, attributes=30), "work"),
        (document(elements=RESPONSE.max_elements), "elements"),
        (document(elements=1_500, repeated=2, text=90, attributes=4), "work"),
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
    """Without that wall, factors that are each admitted cost some times what is admitted: compared in one run."""
    raw = document(elements=3_400, namespaces=60, prefixes=16)
    assert cost(raw)[1] == "work"
    admitted = max(min(cost(one)[0] for _ in range(2)) for one in dearest(expected()))
    monkeypatch.setattr(library, "RESPONSE", replace(RESPONSE, max_work=1 << 60))
    assert min(cost(raw)[0] for _ in range(2)) > 2 * admitted


@pytest.mark.parametrize("raw", dearest(expected()), ids=lambda raw: f"{len(raw)}-bytes")
def test_what_costs_is_admitted_up_to_its_share_and_no_further(raw: bytes) -> None:
    """One limit for all that costs: each of these counts."""
    screen(raw, RESPONSE)
    with pytest.raises(ApiError) as refused:
        screen(raw, replace(RESPONSE, max_work=RESPONSE.max_work // 4))
    assert refused.value.reason == "work"
    assert min(cost(raw)[0] for _ in range(2)) < PROMISED * MARGIN


def test_nothing_that_is_admitted_costs_more_than_is_promised() -> None:
    begun, seed, most, judged = time.monotonic(), 0, (0.0, 0), 0
    with suppress(ApiError):
        accept(document(), expected(), FEDERATION)  # what a library does once
    while judged < 12 or time.monotonic() - begun < BUDGET:
        seed += 1
        raw = drawn(random.Random(seed))  # noqa: S311
        with suppress(ApiError):
            screen(raw, RESPONSE)
            judged += 1
            most = max(most, (min(_taken(raw), _taken(raw)), seed))  # the better of two: caches are cold once
    print(f"{judged} of {seed} documents judged, the dearest (seed {most[1]}) {most[0] * 1000:.1f} ms")  # noqa: T201
    assert most[0] < PROMISED * MARGIN, f"seed {most[1]} cost {most[0]:.3f} s"


def test_a_response_is_verified_as_often_as_there_are_certificates_and_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verification goes over the whole document, so that their number is a factor of what it costs."""
    asked: list[object] = []
    context = xmlsec.SignatureContext

    class Counting(context):  # type: ignore[misc, valid-type]
        def verify(self, node: object) -> None:
            asked.append(node)
            super().verify(node)

    monkeypatch.setattr(xmlsec, "SignatureContext", Counting)
    last = key_pair("fifth")
    accept(response(key=last), expected(), FEDERATION)
    assert len(asked) == 2 * 5  # ours and the library's
    asked.clear()
    accept(response(key=last, sign_response=True), expected(), FEDERATION)
    assert len(asked) == 2 * 2 * 5
    asked.clear()
    cost(response(key=key_pair("nobody"), sign_response=True))
    assert len(asked) == 5


def _taken(raw: bytes) -> float:
    begun = time.process_time()
    with suppress(ApiError):  # some are accepted: a genuine assertion, and around it what nobody reads
        accept(raw, expected(), FEDERATION)
    return time.process_time() - begun
