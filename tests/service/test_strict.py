"""One meaning per text: what is read strictly has one form that is accepted."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.strict import base64url, unbase64url


@given(st.binary(min_size=1, max_size=40))
def test_base64url_is_read_as_it_is_written(raw: bytes) -> None:
    assert unbase64url(base64url(raw)) == raw


@given(st.text(st.sampled_from("ABQgwxyz0189-_+/=. \n\0\u00e9\ud800"), max_size=9))
@example("QR")  # unused bits that are not zero
@example("QQ==")
@example("A")
def test_no_other_text_is_base64url(text: str) -> None:
    try:
        raw = unbase64url(text)
    except ValueError:
        plain = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
        assert not plain or base64url(base64.urlsafe_b64decode(f"{text}===") if len(text) % 4 != 1 else b"") != text
    else:
        assert base64url(raw) == text


@pytest.mark.parametrize("value", [None, b"QQ", 7, ""])
def test_what_is_no_text_is_no_base64url(value: object) -> None:
    with pytest.raises(ValueError, match="base64url"):
        unbase64url(value)
