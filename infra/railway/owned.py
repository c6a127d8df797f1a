"""What on Railway is the tool's: set by it, and removed by it when a stage no longer wants it. All else stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.environment.table import PLATFORM, rows
from infra.railway.project import API
from infra.railway.sealed import RECORD
from infra.stage import tailscale as tunnel
from infra.stage.variables import groups
from service import settings

SERVICES: Final = (API, tunnel.SERVICE)
# Settings by service and block. Railway adds others, and people may: a start command, a limit.
SETTINGS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    API: {
        "source": frozenset({"repo", "branch", "image"}),
        "build": frozenset({"builder", "dockerfilePath", "watchPatterns"}),
        "deploy": frozenset(
            {
                *("preDeployCommand", "healthcheckPath", "healthcheckTimeout", "restartPolicyType"),
                *("restartPolicyMaxRetries", "drainingSeconds", "overlapSeconds", "sleepApplication"),
                "multiRegionConfig",
            }
        ),
    },
    tunnel.SERVICE: {
        "source": frozenset({"repo", "branch", "image"}),
        "deploy": frozenset({"restartPolicyType", "multiRegionConfig", "healthcheckPath", "healthcheckTimeout"}),
    },
}
# What of others' settings is told, because another thing runs then, or at another time.
TELLING: Final = frozenset({"startCommand", "buildCommand", "rootDirectory", "cronSchedule", "configFile"})


class Owned:
    """Which variables are the tool's, by the product's features as they are now."""

    def __init__(self) -> None:
        known = groups()
        ours = {row.name for row in rows(known) if row.stage is not PLATFORM} | {RECORD}
        self._names = {API: frozenset(ours), tunnel.SERVICE: tunnel.NAMES | {RECORD}}
        self._claimed = settings.claimed(known)

    def has(self, service: str, variable: str) -> bool:
        """Whether a variable of a service is the tool's.

        Args:
            service: Its name in a ``Project``.
            variable: Its name.
        """
        return variable in self._names.get(service, ()) or (service == API and bool(self._claimed.match(variable)))
