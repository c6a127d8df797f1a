"""A program's first calls, with the client that openapi-python-client makes: ``python call.py ORIGIN TOKEN``."""

from __future__ import annotations

import json
import sys

from generated.api.auth import validate_token  # type: ignore[import-not-found]
from generated.api.notes import add_note, read_note  # type: ignore[import-not-found]
from generated.client import AuthenticatedClient  # type: ignore[import-not-found]
from generated.models import ErrorResponse, NewNote  # type: ignore[import-not-found]

origin, token = sys.argv[1:]
client = AuthenticatedClient(base_url=origin, token=token)
made = add_note.sync(client=client, body=NewNote(body="by Python"))
read = read_note.sync(made.id, client=client)
refused = validate_token.sync(client=AuthenticatedClient(base_url=origin, token="none"))
assert isinstance(refused, ErrorResponse)
print(json.dumps([read.body, validate_token.sync(client=client).tenant, refused.error.code]))  # noqa: T201
