"""Swagger UI at ``/docs``: every file of it comes from this process, and nothing on the page may load another.

Its sign-in is the one every front end uses: to the provider with PKCE, back with a one-time code, and the token stays
in the page's memory. So it works with any provider, also one whose token endpoint answers no other origin.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse

from service.http.gate import PublicRoute

PATH = "/docs"
# No 'unsafe-inline', no other origin. data: is for the icons in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_OURS = Path(__file__).parent
# The package repeats npm's swagger-ui-dist 5.34.0 byte for byte; only its files are used, none of its code.
_THEIRS = ("fastapi_swagger", "resources")


def install(app: FastAPI) -> None:
    """Serve the page.

    Args:
        app: Its ``/openapi.json`` is open to everybody.

    Raises:
        RuntimeError: The package with the files is not installed.
    """
    spec = importlib.util.find_spec(_THEIRS[0])
    if spec is None or spec.origin is None:
        raise RuntimeError("the package 'fastapi-swagger', which holds Swagger UI's files, is not installed")
    theirs = Path(spec.origin).parent / _THEIRS[1]
    files = {
        PATH: (_OURS / "index.html", "text/html; charset=utf-8"),
        f"{PATH}/page.js": (_OURS / "page.js", "text/javascript; charset=utf-8"),
        f"{PATH}/page.css": (_OURS / "page.css", "text/css; charset=utf-8"),
        f"{PATH}/swagger-ui-bundle.js": (theirs / "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        f"{PATH}/swagger-ui.css": (theirs / "swagger-ui.css", "text/css; charset=utf-8"),
        f"{PATH}/favicon.png": (theirs / "favicon-32x32.png", "image/png"),
    }
    for path, (file, media_type) in files.items():
        app.router.routes.append(_route(path, file, media_type))


def _route(path: str, file: Path, media_type: str) -> PublicRoute:
    caching = "no-store" if path == PATH else "private, max-age=300"

    async def serve(_: Request) -> FileResponse:
        headers = {"Cache-Control": caching, "Content-Security-Policy": _POLICY}
        return FileResponse(file, media_type=media_type, headers=headers)

    return PublicRoute(path, serve, include_in_schema=False)
