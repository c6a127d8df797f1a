"""The example page on a developer's machine, in a real browser: whatever name it and the service go by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from tests.support.api.chromium import complaints, picture, press, sign_in_at_op, sign_in_at_strict, type_into, wait
from tests.support.api.page import fits_a_telephone, served, shows, uses_it
from tests.support.api.server import ROOT, Server, free_port
from tests.support.idp.peers import StrictOpenIdProvider


@pytest.fixture(scope="module")
def others(peers: Path, port: int) -> Iterator[Mapping[str, str]]:
    with StrictOpenIdProvider.running(port, "strict") as strict:
        yield strict.settings("strict")


def at_op(window: WebDriver) -> None:
    type_into(window, "login", "alice")
    sign_in_at_op(window)


def signs_in_and_out(window: WebDriver, page: str, provider: str) -> None:
    window.get(page)
    shows(window, "#providers", provider)
    fits_a_telephone(window)
    picture(window, "page-sign-in", height=440)
    press(window, f"#sign-in-{provider}")
    at_op(window) if provider == "op" else sign_in_at_strict(window)
    uses_it(window, page, "acme")
    if provider == "op":
        press(window, "button[value=yes]")
    shows(window, "#providers", provider)
    assert window.current_url == page


def test_what_the_documents_quote_of_the_page_stands_in_it() -> None:
    text = (ROOT / "docs/AUTH_CONFIGURATION.md").read_text()
    page = (ROOT / "examples/page/page.js").read_text()
    quoted = [line.strip() for block in re.findall(r"```js\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(quoted) > 4
    assert [line for line in quoted if line not in page] == []


@pytest.mark.parametrize(
    ("name", "asks", "provider"),
    [
        ("localhost", "its own name", "op"),
        ("localhost", "the other name", "op"),
        ("127.0.0.1", "its own name", "op"),
        ("127.0.0.1", "the other name", "op"),
        ("localhost", "its own name", "strict"),
    ],
)
def test_a_page_of_either_name_signs_in_calls_and_signs_out_whatever_name_it_asks_by(
    window: WebDriver, server: Server, tmp_path: Path, name: str, asks: str, provider: str
) -> None:
    """Each on a port of its own, which no setting names."""
    other = "127.0.0.1" if name == "localhost" else "localhost"
    api = None if asks == "its own name" else f"http://{other}:{server.port}"
    with served(tmp_path / "page", server.port, api) as port:
        page = f"http://{name}:{port}/"
        signs_in_and_out(window, page, provider)
        assert [line for line in complaints(window, page) if "422" not in line] == []


def test_what_goes_wrong_is_said_as_a_person_can_act_on_it(window: WebDriver, server: Server, tmp_path: Path) -> None:
    with served(tmp_path / "page", server.port) as port:
        window.get(f"http://localhost:{port}/?login_code=used-or-stolen")
        shows(window, "#trouble", "Please sign in again.")
        shows(window, "#trouble", "AUTH_045, request ")
        shows(window, "#providers", "op")
        assert "login_code" not in window.current_url
    nobody = free_port()
    with served(tmp_path / "page", nobody) as port:
        window.get(f"http://localhost:{port}/")
        shows(window, "#trouble", f"The service at http://localhost:{nobody} does not answer.")


def test_a_note_whose_answer_was_lost_is_kept_once(window: WebDriver, server: Server, tmp_path: Path) -> None:
    with served(tmp_path / "page", server.port) as port:
        page = f"http://localhost:{port}/"
        window.get(page)
        press(window, "#sign-in-op")
        signed = wait(window, lambda: window.find_elements("name", "login") or window.current_url == page)
        if isinstance(signed, list):
            type_into(window, "login", "bob")
            sign_in_at_op(window)
        shows(window, "#count", "note")
        # The service keeps the note; the page does not hear of it.
        window.execute_script(
            "const real = fetch; window.fetch = async (...given) => { await real(...given); "
            "window.fetch = real; throw new TypeError('cut') }"
        )
        type_into(window, "body", "Once alone")
        press(window, "#add button")
        shows(window, "#trouble", "does not answer")
        press(window, "#add button")
        shows(window, "#notes", "Once alone")
        assert [li.text for li in window.find_elements("css selector", "#notes li")].count("Once alone") == 1
