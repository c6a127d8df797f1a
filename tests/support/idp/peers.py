"""Identity providers that are not ours: npm's, with the project's own Node, in versions that a lock pins."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from infra.shell.tools import search_path
from tests.support.api.server import ROOT, free_port

FOLDER = ROOT / "tests" / "peers"
CLIENT_SECRET = "app-secret-app-secret-app-secret"
_NO_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|SOCKET_TIMEOUT|SELF_SIGNED_CERT"
)


def absent(reason: str) -> None:
    """Skip where something is not to be had, except in CI, where a skipped test would be a test that cannot fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def install(folder: Path = FOLDER) -> Path:
    """A folder of npm's, with what its lock names installed."""
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    mark = folder / "node_modules" / ".signalbox-lock"
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once must not install into each other
        if mark.exists() and mark.read_text() == digest:
            return folder
        npm = shutil.which("npm", path=os.pathsep.join([str(Path(sys.executable).parent), environment()["PATH"]]))
        command = [npm or "npm", "ci", "--no-fund", "--no-audit", "--ignore-scripts", "--fetch-retries=1"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            if _NO_NETWORK.search(done.stdout + done.stderr):
                absent("npm's registry cannot be reached, and the test peers are not installed yet")
            raise RuntimeError(f"npm ci failed in {folder}:\n{done.stdout}{done.stderr}")
        mark.write_text(digest)
    return folder


def environment() -> dict[str, str]:
    """Ours (npm may need a proxy and its certificates), with the project's Node first."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "IDP__"))}
    return found | {"PATH": search_path(ROOT), "NO_UPDATE_NOTIFIER": "1", "NODE_NO_WARNINGS": "1"}


@contextmanager
def node(script: str, *arguments: str) -> Iterator[str]:
    """Run a script of the folder until the block ends; gives what it said after READY."""
    program = shutil.which("node", path=environment()["PATH"]) or "node"
    process = subprocess.Popen(
        [program, script, *arguments],
        cwd=install(),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("READY"):
                break
        else:
            raise RuntimeError(f"{script} did not start:\n{printed}")
        yield line.removeprefix("READY").strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class OpenIdProvider:
    """npm's oidc-provider, a certified implementation."""

    def __init__(self, port: int, api_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.api_port = api_port

    @classmethod
    @contextmanager
    def running(cls, api_port: int, name: str = "op") -> Iterator[OpenIdProvider]:
        """Start one whose clients are an API at that port, where it is the provider of that name."""
        port = free_port()
        with node("op.mjs", json.dumps({"port": port, "api": f"http://127.0.0.1:{api_port}", "name": name})):
            yield cls(port, api_port)

    def settings(self, client_id: str, name: str = "OP", secret: str | None = None) -> dict[str, str]:
        found = {
            "KIND": "oidc",
            "ISSUER": self.url,
            "CLIENT_ID": client_id,
            "AUDIENCE": "urn:test:api",
            "CLIENT_SECRET": secret or "",
        }
        return {f"IDP__{name}__{key}": value for key, value in found.items()}

    def rotate(self, mode: str = "") -> None:
        httpx.post(f"{self.url}/__test/rotate", params={"mode": mode}).raise_for_status()


class StrictOpenIdProvider:
    """npm's better-auth: PKCE always, no JWT without ``resource``, ES256, ``azp`` for RFC 9068's ``client_id``."""

    def __init__(self, url: str, client: Mapping[str, str]) -> None:
        self.url, self._client = url, client

    @classmethod
    @contextmanager
    def running(cls, api_port: int, name: str) -> Iterator[StrictOpenIdProvider]:
        """Start one whose client is an API at that port, where it is the provider of that name."""
        port = free_port()
        config = {"port": port, "api": f"http://127.0.0.1:{api_port}", "name": name}
        with node("better-auth.mjs", json.dumps(config)) as client:
            yield cls(f"http://127.0.0.1:{port}", json.loads(client))

    def settings(self, name: str) -> dict[str, str]:
        found = {
            "KIND": "oidc",
            "ISSUER": f"{self.url}/api/auth",
            "CLIENT_ID": self._client["id"],
            "CLIENT_SECRET": self._client["secret"],
            "AUDIENCE": "https://api.test/",
            "AUDIENCE_PARAMETER": "resource",
        }
        return {f"IDP__{name.upper()}__{key}": value for key, value in found.items()}


class Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(page.text)
        self.action = urljoin(str(page.url), self.action or "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = values.get("action", "")
        elif tag == "input" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")


def sign_in(browser: httpx.Client, login_url: str, user: str, stop_at: str) -> httpx.Response:
    """Go through a provider's forms as a person does.

    Args:
        browser: Keeps cookies, follows no redirect.
        login_url: Of the API.
        user: What to type.
        stop_at: Beginning of the address at which to stop; it is not fetched.

    Returns:
        The redirect that leads there.
    """
    answer = browser.get(login_url)
    for _ in range(15):
        if answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["Location"])
            if target.startswith(stop_at):
                return answer
            answer = browser.get(target)
        else:
            assert answer.status_code == 200, answer.text
            form = Form(answer)
            typed = {"login": user, "password": "x"} if "login" in form.fields else {}
            answer = browser.post(form.action or "", data={**form.fields, **typed})
    raise AssertionError("the provider never came to an end")
