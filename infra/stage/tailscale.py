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

from typing import Final

from infra.stage.record import Stage

SERVICE: Final = "tailscale"  # its name on Railway, and so its private name
VERSION: Final = "1.102.5"  # of both ends; the router is rebuilt every 30 days and must come up the same
IMAGE: Final = f"tailscale/tailscale:v{VERSION}"
SOCKS_PORT: Final = 1055
PROXY_URL: Final = f"socks5://{SERVICE}.railway.internal:{SOCKS_PORT}"
# Every variable that its end on Railway has, or had.
NAMES: Final = frozenset(
    {
        *("TS_USERSPACE", "TS_SOCKS5_SERVER", "TS_HOSTNAME", "TS_ACCEPT_DNS", "TS_EXTRA_ARGS"),
        *("TS_ENABLE_HEALTH_CHECK", "TS_LOCAL_ADDR_PORT", "TS_AUTHKEY"),
    }
)
# A key that is reusable, ephemeral, pre-approved and tagged, made in Tailscale's console; sealed on Railway.
SEALED: Final = ("TS_AUTHKEY",)


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
        # The image hands these to `tailscale set`, which knows no tags: the node has those of its key.
        "TS_EXTRA_ARGS": "--accept-routes",
        "TS_ENABLE_HEALTH_CHECK": "true",
        "TS_LOCAL_ADDR_PORT": "[::]:9002",
    }


def tailnet_policy(stage: Stage) -> dict[str, object]:
    """What the tailnet's policy file needs for a stage: the service may reach the database's port, nothing else.

    Args:
        stage: The deployment target.

    Returns:
        Sections to merge into the policy file (https://tailscale.com/kb/1337/policy-syntax).
    """
    api, router = stage.names.node_tag, stage.names.router_tag
    return {
        "tagOwners": {api: ["autogroup:admin"], router: ["autogroup:admin"]},
        "autoApprovers": {"routes": {stage.network.cidr: [router]}},
        "grants": [{"src": [api], "dst": [stage.network.cidr], "ip": [f"tcp:{stage.database.port}"]}],
    }
