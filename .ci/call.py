"""Call the running API with the token on stdin, and without one: ``call.py READY_JSON TENANT``."""

import json
import sys
from pathlib import Path

import httpx

ready, tenant = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]
url = f"{ready['api_url']}/api/v1/auth/validate"
admitted = httpx.get(url, headers={"Authorization": f"Bearer {sys.stdin.read().strip()}"})
refused = httpx.get(url)
if admitted.status_code != 200 or admitted.json()["tenant"] != tenant:
    sys.exit(f"{tenant} was not recognised: {admitted.status_code} {admitted.text}")
if refused.status_code != 401 or "WWW-Authenticate" not in refused.headers:
    sys.exit(f"without a token: {refused.status_code} {refused.text}")
sys.stdout.write(f"{tenant} is recognised; without a token the answer is {refused.json()['error']['code']}\n")
