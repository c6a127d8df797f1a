"""A person with a real browser: Swagger UI, the provider's page, and back with a token."""

from __future__ import annotations

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from tests.support.api.chromium import complaints, picture, press, sign_in_at_op, text_of, type_into, wait
from tests.support.api.server import Server


def test_swagger_ui_signs_in_and_calls_a_protected_route(server: Server, window: WebDriver) -> None:
    window.get(f"{server.url}/docs")
    press(window, "#sign-in-op")
    type_into(window, "login", "alice")
    sign_in_at_op(window)
    wait(window, lambda: "Signed in" in window.find_element(By.ID, "state").text)
    assert window.current_url == f"{server.url}/docs"
    press(window, "[id$=-validate_token] .opblock-summary")
    press(window, "[id$=-validate_token] .execute")
    shown = wait(window, lambda: text_of(window, "[id$=-validate_token] .live-responses-table .response"))
    assert "200" in shown
    assert '"tenant": "acme"' in shown
    assert '"subject": "alice"' in shown
    picture(window, "docs-signed-in")
    assert "Signed in as alice of acme, by op, until " in text_of(window, "#state")
    servers = [option.text for option in window.find_elements(By.CSS_SELECTOR, ".servers option")]
    assert servers == [f"{server.url} - This service"]
    assert "Every operation that names a security scheme" in text_of(window, ".info")
    press(window, "#sign-out")
    press(window, "button[value=yes]")  # the provider's question
    wait(window, lambda: window.find_element(By.ID, "sign-in-op").is_displayed())
    assert window.current_url == f"{server.url}/docs"
    assert complaints(window, server.url) == []


def test_swagger_ui_under_another_name_of_the_service_calls_that_one(server: Server, window: WebDriver) -> None:
    other = server.url.replace("127.0.0.1", "localhost")
    window.get(f"{other}/docs")
    press(window, "[id$=-list_providers] .opblock-summary")
    press(window, "[id$=-list_providers] .execute")
    shown = wait(window, lambda: text_of(window, "[id$=-list_providers] .live-responses-table .response"))
    assert "200" in shown
    assert complaints(window, other) == []


def test_a_second_tab_does_not_disturb_the_first(server: Server, window: WebDriver) -> None:
    first = window.current_window_handle
    window.delete_all_cookies()
    window.get(f"{server.url}/docs")
    press(window, "#sign-in-op")
    type_into(window, "login", "bob")
    window.switch_to.new_window("tab")
    window.get(f"{server.url}/docs")
    press(window, "#sign-in-op")
    type_into(window, "login", "alice")
    sign_in_at_op(window)
    wait(window, lambda: "Signed in" in window.find_element(By.ID, "state").text)
    window.close()
    window.switch_to.window(first)
    sign_in_at_op(window)
    wait(window, lambda: "Signed in" in window.find_element(By.ID, "state").text)


def test_the_policy_of_the_page_is_enforced_by_the_browser(server: Server, window: WebDriver) -> None:
    """That no complaint was seen above means something only if there would have been one."""
    window.get(f"{server.url}/docs")
    complaints(window, server.url)
    ran = window.execute_async_script(
        "const tag = document.createElement('script'); tag.textContent = 'window.ran = true';"
        "document.body.append(tag); setTimeout(arguments[0], 200, Boolean(window.ran));"
    )
    assert ran is False
    assert any("Content Security Policy" in line for line in complaints(window, server.url))


def test_a_refused_sign_in_is_told_on_the_page(server: Server, window: WebDriver) -> None:
    window.get(f"{server.url}/docs?login_code=used-or-stolen")
    wait(window, lambda: "AUTH_045" in window.find_element(By.ID, "state").text)
    assert "login_code" not in window.current_url
