"""A real browser, headless."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
