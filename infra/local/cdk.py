"""The pinned CDK command line, pointed at the local AWS and unable to reach any other."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from infra.local import plain
from infra.shell.tools import CdkError, Commands, installed_cdk, search_path

ACCOUNT: Final = "000000000000"  # the emulator's; no account of AWS has this number
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_REQUEST_ID: Final = re.compile(r"<RequestId>[^<]*</RequestId>")  # differs between two answers that say the same
_CHECK_TIMEOUT: Final = 10.0  # seconds for the emulator to say who it is

# Of our own environment, commands get this and no more: nothing that holds or names a credential, and no proxy.
_KEPT: Final = ("LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
# `cdk synth` starts the app through uv, which looks here for its cache and its interpreters.
_KEPT_FOR_UV: Final = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


class UnsafeEndpoint(CdkError):  # noqa: N818  named after what was found
    """The endpoint is, or may be, something else than an emulator on this machine."""


class LocalCdk:
    """The CDK against one emulator. Steps may run in threads, also several at once.

    Args:
        endpoint: Address of the emulator.
        state_dir: Takes what the CDK keeps, and the log of each step (``logs/cdk-<step>.log``).
        project_root: Folder with ``cdk.json`` and ``node_modules``.
        region: Of the stage that is deployed there; the emulator has them all.

    Raises:
        UnsafeEndpoint: The endpoint is not plain HTTP on this machine.
    """

    def __init__(self, endpoint: str, state_dir: Path, project_root: Path, region: str) -> None:
        self.endpoint = loopback(endpoint)
        self._state = state_dir.resolve()
        self._root = project_root.resolve()
        self._region = region
        self._commands = Commands()

    def bootstrap(self) -> None:
        """Prepare the emulator for deployments, unless this version of the CDK has done so.

        Raises:
            UnsafeEndpoint: No emulator answers there.
            CdkError: The step failed.
        """
        require_emulator(self.endpoint, self._region)
        mark, done = self._state / "cdk" / "bootstrapped-by", f"{installed_cdk(self._root)} {self._region}"
        if mark.exists() and mark.read_text() == done and _stack_exists(self.endpoint, self._region, "CDKToolkit"):
            return
        # Beside a cdk.json it would synthesize the app first.
        empty = self._state / "cdk" / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        self._run_on_aws("bootstrap", [f"aws://{ACCOUNT}/{self._region}"], empty)
        mark.write_text(done)

    def synth(self, stage: str, public_url: str, output_dir: Path) -> None:
        """Make the templates. Asks no AWS, and has no credentials to ask with.

        Args:
            stage: Which stage.
            public_url: Origin of the API, where the user pool sends people back to.
            output_dir: Takes the cloud assembly.

        Raises:
            CdkError: The step failed.
        """
        context = ["-c", f"stage={stage}", "-c", f"public_url={public_url}"]
        environment = tool_environment(self._root, self._state) | _ours(_KEPT_FOR_UV)
        environment |= {name: value for name, value in os.environ.items() if name.startswith("UV_")}
        self._run("synth", ["-q", *context, "--output", str(output_dir.resolve())], self._root, environment)

    def has_deployed(self, assembly_dir: Path, outputs_file: Path) -> bool:
        """Whether ``deploy`` with the same arguments would find nothing to do.

        Args:
            assembly_dir: What ``synth`` has made.
            outputs_file: Where the stack outputs are.

        Raises:
            UnsafeEndpoint: No emulator answers there.
        """
        require_emulator(self.endpoint, self._region)
        mark = self._state / "cdk" / "deployed"
        return mark.exists() and outputs_file.exists() and mark.read_text() == self._deployed(assembly_dir)

    def deploy(self, assembly_dir: Path, outputs_file: Path) -> None:
        """Deploy every stack of an assembly.

        Args:
            assembly_dir: What ``synth`` has made.
            outputs_file: Takes the stack outputs: stack name -> key -> value.

        Raises:
            UnsafeEndpoint: No emulator answers there.
            CdkError: The step failed.
        """
        options = ["--all", "--app", str(assembly_dir.resolve()), "--require-approval", "never", "--progress", "events"]
        self._run_on_aws("deploy", [*options, "--outputs-file", str(outputs_file.resolve())], self._state)
        (self._state / "cdk" / "deployed").write_text(self._deployed(assembly_dir))

    def _deployed(self, assembly_dir: Path) -> str:
        """An assembly, the CDK, and what the emulator says of its stacks, where one that was changed since shows."""
        found = hashlib.sha256(f"{installed_cdk(self._root)}".encode())
        for file in sorted(assembly_dir.glob("*.json")):  # which name an asset by the digest of its content
            found.update(f"\0{file.name}\0".encode() + file.read_bytes())
        told = _ask(self.endpoint, self._region, "cloudformation", Action="DescribeStacks", Version="2010-05-15")
        found.update(_REQUEST_ID.sub("", told.text).encode())
        return found.hexdigest()

    def cancel(self) -> None:
        """End what runs, with every process it has started, and start nothing more."""
        self._commands.cancel()

    def _run_on_aws(self, step: str, arguments: Sequence[str], cwd: Path) -> None:
        require_emulator(self.endpoint, self._region)
        self._run(step, arguments, cwd, tool_environment(self._root, self._state, (self.endpoint, self._region)))

    def _run(self, step: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        program = str(self._root / "node_modules" / ".bin" / "cdk")
        command = [program, step, *arguments, "--no-notices"]
        self._commands.run(f"cdk {step}", command, cwd, environment, self._state / "logs" / f"cdk-{step}.log")


def loopback(endpoint: str) -> str:
    """The endpoint, put together anew from what was understood of it: two parsers may read one text differently.

    Args:
        endpoint: An address.

    Raises:
        UnsafeEndpoint: Not plain HTTP on this machine.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port or 80
        plain = parts.scheme == "http" and parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        host = None
    if host not in _LOOPBACK or not plain or "@" in endpoint or "\\" in endpoint:
        raise UnsafeEndpoint(
            f"Refusing {endpoint!r}: local stacks go to http on this machine (127.0.0.1), nowhere else"
        )
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def require_emulator(endpoint: str, region: str) -> None:
    """Ask who answers, before anything is sent that changes something: a forwarded port can lead anywhere.

    Args:
        endpoint: As returned by ``loopback``.
        region: Any; the question names one.

    Raises:
        UnsafeEndpoint: Nobody answers, or somebody who is not the emulator.
    """
    try:
        with plain.client(_CHECK_TIMEOUT) as http:
            health = http.get(f"{endpoint}/_ministack/health")
        identity = _ask(endpoint, region, "sts", Action="GetCallerIdentity", Version="2011-06-15")
    except httpx.HTTPError as failure:
        raise UnsafeEndpoint(f"Refusing {endpoint}: no emulator answers there ({type(failure).__name__})") from None
    if health.status_code != 200 or f"<Account>{ACCOUNT}</Account>" not in identity.text:
        raise UnsafeEndpoint(f"Refusing {endpoint}: what answers there is not the emulator")


def _stack_exists(endpoint: str, region: str, name: str) -> bool:
    answer = _ask(endpoint, region, "cloudformation", Action="DescribeStacks", StackName=name, Version="2010-05-15")
    return answer.status_code == 200 and "_COMPLETE</StackStatus>" in answer.text


def _ask(endpoint: str, region: str, service: str, **question: str) -> httpx.Response:
    """Without boto3, whose import takes longer than the answer. The emulator checks no signature."""
    scope = f"Credential=test/20260101/{region}/{service}/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
    with plain.client(_CHECK_TIMEOUT) as http:
        return http.post(f"{endpoint}/", data=question, headers=headers)


def tool_environment(project_root: Path, state_dir: Path, emulator: tuple[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a CDK command.

    Args:
        project_root: Folder with ``node_modules``.
        state_dir: Takes the command's home: the real one can hold AWS profiles and a ``.cdk.json``.
        emulator: Its endpoint and the region to ask in; None gives neither an endpoint nor credentials.
    """
    home = state_dir / "cdk"
    home.mkdir(parents=True, exist_ok=True)
    found = _ours(_KEPT) | {
        "PATH": search_path(project_root),
        "HOME": str(home),
        "CDK_HOME": str(home),  # also a cache of account numbers by access key: one for each emulator
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CI": "true",  # no questions, and all output in one stream
        "NO_COLOR": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if emulator is None:
        return found
    endpoint, region = emulator
    return found | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def _ours(names: Sequence[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
