"""The way to the database through a tailnet, as data: what both ends have in common, and the end on Railway.

On Railway the official Tailscale image is a SOCKS5 server.

Railway gives a container no network device, so Tailscale runs in userspace: it opens no route, and whoever wants
through asks its SOCKS5 server, which only the project's private network reaches. Its end in AWS is
``infra/aws/constructs/subnet_router.py``. The name of an RDS instance that is not public resolves, everywhere, to its
private address, which the router's route leads to. Nothing is kept: without TS_STATE_DIR the image holds its state in
memory, and an ephemeral node leaves the tailnet when it is gone. The variables are those of the image
(https://tailscale.com/kb/1282/docker).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from infra.stage.record import Stage

SERVICE: Final = "tailscale"  # its name on Railway, and so its private name
VERSION: Final = "1.102.5"  # of both ends; the router is rebuilt every 30 days and must come up the same
IMAGE: Final = f"tailscale/tailscale:v{VERSION}"
SOCKS_PORT: Final = 1055
PROXY_URL: Final = f"socks5://{SERVICE}.railway.internal:{SOCKS_PORT}"
HEALTH_PORT: Final = 9002
# 200 from when the node has an address in the tailnet, 503 before: Railway takes a deployment for good only then.
HEALTH_PATH: Final = "/healthz"
HEALTH_TIMEOUT: Final = 120  # seconds in which a node has joined, or never does
# Every variable that its end on Railway has, or had.
NAMES: Final = frozenset(
    {
        *("TS_USERSPACE", "TS_SOCKS5_SERVER", "TS_HOSTNAME", "TS_ACCEPT_DNS", "TS_EXTRA_ARGS"),
        *("TS_ENABLE_HEALTH_CHECK", "TS_LOCAL_ADDR_PORT", "TS_AUTHKEY", "PORT"),
    }
)
# The secret of an OAuth client, or a key that is reusable, ephemeral, pre-approved and tagged; sealed on Railway.
SEALED: Final = ("TS_AUTHKEY",)
KEY_DAYS: Final = 90  # at most, of a key; an OAuth client does not end
BEAT_SECONDS: Final = 45  # between two times that the subnet router looks at itself and puts its metrics
_CLIENT: Final = "tskey-client-"
_KEY: Final = "tskey-auth-"


def variables(stage: Stage) -> dict[str, str]:
    """The environment of the tunnel, without what is sealed; empty for a stage without a subnet router.

    Args:
        stage: The deployment target.
    """
    if not stage.subnet_router:
        return {}
    return {
        "TS_USERSPACE": "true",
        # Every address, IPv6 too: on the private network of an older environment there is no other.
        "TS_SOCKS5_SERVER": f"[::]:{SOCKS_PORT}",
        "TS_HOSTNAME": stage.names.node,
        "TS_ACCEPT_DNS": "true",
        # The image hands these to `tailscale up`; who joins by an OAuth client has to say its tag.
        "TS_EXTRA_ARGS": f"--accept-routes --advertise-tags={stage.names.node_tag}",
        "TS_ENABLE_HEALTH_CHECK": "true",
        "TS_LOCAL_ADDR_PORT": f"[::]:{HEALTH_PORT}",
        "PORT": str(HEALTH_PORT),  # where Railway asks for the health of what does not read PORT itself
    }


def credential_problem(value: str) -> str | None:
    """Why a node would not join by itself with this; None when nothing can be seen. Never repeats the value.

    Args:
        value: What is about to be sealed as ``TS_AUTHKEY``.
    """
    if value.startswith(_KEY):
        return None
    if not value.startswith(_CLIENT):
        return f"it begins neither with {_CLIENT} (an OAuth client, which does not end) nor with {_KEY} (90 days)"
    if "preauthorized=true" not in value.partition("?")[2].split("&"):
        return "its nodes would wait for an approval: put ?ephemeral=true&preauthorized=true behind the secret"
    return None


def tailnet_policy(stage: Stage) -> dict[str, list[dict[str, object]] | dict[str, object]]:
    """What the tailnet's policy file needs for a stage: the service may reach the database's port, nothing else.

    Args:
        stage: The deployment target.

    Returns:
        Sections to merge into the policy file (https://tailscale.com/kb/1337/policy-syntax). Its tests are Tailscale's
        own: it refuses to save a policy that breaks them.
    """
    api, router, port = stage.names.node_tag, stage.names.router_tag, stage.database.port
    inside = ip_network(stage.network.cidr)[10]
    return {
        "tagOwners": {api: ["autogroup:admin"], router: ["autogroup:admin"]},
        "autoApprovers": {"routes": {stage.network.cidr: [router]}},
        "grants": [{"src": [api], "dst": [stage.network.cidr], "ip": [f"tcp:{port}"]}],
        "tests": [
            {"src": api, "proto": "tcp", "accept": [f"{inside}:{port}"], "deny": [f"{inside}:22"]},
            {"src": router, "proto": "tcp", "deny": [f"{inside}:{port}"]},
        ],
    }
