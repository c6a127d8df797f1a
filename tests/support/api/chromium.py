"""A real browser, headless."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.api.server import ROOT
from tests.support.idp.peers import absent

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

# Without these it asks Google's hosts for this and that at every start.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--metrics-recording-only",
    "--js-flags=--no-opt",  # a page of a test lives for seconds, and is left before a better program is made
)


@contextmanager
def chromium() -> Iterator[WebDriver]:
    """A window with a profile of its own."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        absent("chromium and chromedriver are not on this machine (Debian: apt-get install chromium chromium-driver)")
        raise AssertionError
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = browser
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        window = Chrome(options=options, service=Service(driver))
        try:
            yield window
        finally:
            window.quit()


def complaints(window: WebDriver, origin: str) -> list[str]:
    """What the console says since it was last asked, such as what a Content-Security-Policy has blocked.

    Args:
        window: The window.
        origin: Of our pages; what is only about addresses elsewhere (the provider's pages) is left out.
    """
    log: list[dict[str, str]] = window.get_log("browser")  # type: ignore[no-untyped-call]
    return [json.dumps(entry) for entry in log if origin in entry["message"] or "http" not in entry["message"]]


def wait(window: WebDriver, condition: Callable[[], Any]) -> Any:
    """Until it holds; React replaces elements while it renders."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(window, 15, ignored_exceptions=(WebDriverException,)).until(lambda _: condition())


def press(window: WebDriver, selector: str) -> None:
    def click() -> bool:
        window.find_element("css selector", selector).click()
        return True

    wait(window, click)


def type_into(window: WebDriver, name: str, text: str) -> None:
    def type_it() -> bool:
        window.find_element("name", name).send_keys(text)
        return True

    wait(window, type_it)


def sign_in_at_op(window: WebDriver) -> None:
    """The provider's page: any password is right; then its question whether the application may know."""
    type_into(window, "password", "x")
    press(window, "button[type=submit]")
    wait(window, lambda: not window.find_elements("name", "password"))
    press(window, "button[type=submit]")


def sign_in_at_strict(window: WebDriver) -> None:
    """The pages of better-auth: its one user, and whether the application may know."""
    type_into(window, "email", "alice@example.com")
    type_into(window, "password", "a-password")
    press(window, "button[type=submit]")
    wait(window, lambda: not window.find_elements("name", "password"))
    press(window, "button[type=submit]")


def text_of(window: WebDriver, selector: str) -> str:
    return window.find_element("css selector", selector).text


def picture(window: WebDriver, name: str, *, height: int | None = 900) -> None:
    """What docs/pictures shows of this moment: made anew where PICTURES is ``write``, and there in any case."""
    file = ROOT / "docs" / "pictures" / f"{name}.png"
    if os.environ.get("PICTURES") == "write":
        size = window.get_window_size()
        if height is not None:  # with the browser's own bars
            window.set_window_size(900, height)
        window.execute_script("scrollTo(0, 0)")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(window.get_screenshot_as_png())
        window.set_window_size(size["width"], size["height"])
    assert file.exists(), f"docs/pictures/{name}.png: PICTURES=write uv run pytest tests/service/auth/login"
