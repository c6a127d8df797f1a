"""The example page as `signalbox up` shows it, and a person in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infra.local.page import lay_out
from tests.support.api.chromium import picture, press, text_of, wait
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
    """What is there once a person is signed in: who am I, a call that works, one that fails, and out again."""
    shows(window, "#tenant", tenant)
    assert window.current_url == page
    press(window, "#call button")
    shows(window, "#answer", f'"tenant": "{tenant}"')
    picture(window, "page-signed-in")
    window.find_element("name", "path").send_keys("/none")
    press(window, "#call button")
    shows(window, "#trouble", "There is nothing here")
    shows(window, "#trouble", "REQ_001, request ")
    press(window, "#sign-out")
