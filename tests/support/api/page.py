"""The example page as `signalbox up` shows it, and a person in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infra.local.page import lay_out
from tests.support.api.chromium import picture, press, text_of, type_into, wait
from tests.support.api.server import ROOT
from tests.support.local_http import LocalHttp

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path, api_port: int, api: str | None = None) -> Iterator[int]:
    """Serve it; gives the port, at which it answers under both names of this machine.

    Args:
        folder: Takes it.
        api_port: Of the API, which it asks under its own name.
        api: Asks the API at this origin instead.
    """
    assert lay_out(ROOT, folder, api_port)
    if api is not None:
        (folder / "settings.js").write_text(f"export const API = {api!r};")
    handler = cast("Any", partial(_Quiet, directory=str(folder)))
    with LocalHttp(handler) as server:
        yield int(server.address.rpartition(":")[2])


def shows(window: WebDriver, selector: str, text: str) -> None:
    """Wait until a part of the page says something; what the page complains of is in the failure."""
    try:
        wait(window, lambda: text in text_of(window, selector))
    except Exception:
        raise AssertionError(f"{window.current_url}: {text_of(window, 'body')!r}") from None


def uses_it(window: WebDriver, page: str, tenant: str) -> None:
    """What is there once a person is signed in: who am I, notes, one that is refused, and out again."""
    shows(window, "#tenant", tenant)
    assert window.current_url == page
    shows(window, "#count", "note")
    before = len(window.find_elements("css selector", "#notes li"))
    text = f"Call back on Monday, <{before + 1}>"
    type_into(window, "body", text)
    press(window, "#add button")
    shows(window, "#notes", text)
    fits_a_telephone(window)
    if not before:  # the first of several runs, with one note
        picture(window, "page-signed-in")
    window.execute_script(
        "document.getElementById('body').maxLength = 2000; document.getElementById('body').value = 'x'.repeat(1001)"
    )
    with telephone(window, 400):  # the rest is its keyboard
        press(window, "#add button")
        shows(window, "#trouble", "Please look at what you wrote")
        shows(window, "#numbers", "REQ_003, request ")
        assert window.execute_script(
            "const box = document.getElementById('trouble').getBoundingClientRect();"
            "return scrollY >= 0 && box.top >= 0 && box.bottom <= innerHeight"
        ), "what went wrong is where the person looks"
    if not before:
        picture(window, "page-refused")
    assert len(window.find_elements("css selector", "#notes li")) == before + 1
    press(window, "#sign-out")


@contextmanager
def telephone(window: WebDriver, height: int = 700) -> Iterator[None]:
    """A window of a telephone's size, while the block runs."""
    size = {"width": 375, "height": height, "deviceScaleFactor": 1, "mobile": False}

    def narrow() -> bool:  # asked again: a page that came from another site may be in a new process, which was not told
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        return bool(window.execute_script("return innerWidth") == 375)

    wait(window, narrow)
    try:
        yield
    finally:
        window.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def fits_a_telephone(window: WebDriver) -> None:
    """At 375 pixels nothing has to be scrolled to from the side, and each control can be hit and has a name."""
    with telephone(window):
        root = "document.documentElement"
        assert window.execute_script(f"return {root}.scrollWidth <= {root}.clientWidth")
        controls = window.find_elements("css selector", "button, a, input, textarea")
        shown = [control for control in controls if control.is_displayed()]
        assert shown
        for control in shown:
            assert control.size["height"] >= 40, control.get_attribute("outerHTML")
            assert control.accessible_name, control.get_attribute("outerHTML")
        if len(window.find_elements("css selector", "#notes li")) == 1:
            picture(window, "page-telephone", height=None)
