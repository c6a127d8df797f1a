"""Whether a tailnet's policy file lets the service reach the database of a stage, and lets no other thing through.

A new tailnet begins with a policy that lets every device reach every other, and so does a file without rules: then any
device of any member reaches the database's port, and the service's node reaches any device. Rules only add up: one that
is too wide is not narrowed by another (https://tailscale.com/kb/1337/policy-syntax).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

import json5

from infra.deploy.finding import Finding
from infra.shell.failure import Failure
from infra.stage.record import Stage
from infra.stage.tailscale import tailnet_policy

MAX_POLICY: Final = 262_144  # characters; reading JSON with comments is slow
ADVICE: Final = """\
Merge this into the tailnet's policy file (https://login.tailscale.com/admin/acls/file), and take out of it what a new
tailnet has there: {{"src": ["*"], "dst": ["*"], "ip": ["*"]}}. With that rule, or without the sections grants and acls,
any device of any member reaches the database's port. Then check: uv run signalbox tailnet {stage} --policy FILE
"""
_EVERYONE: Final = frozenset({"*", "autogroup:member", "autogroup:tagged", "autogroup:danger-all", "autogroup:shared"})
# What a node with a tag is among.
_WITH_TAGS: Final = frozenset({"*", "autogroup:tagged", "autogroup:danger-all"})
# Devices and users, never an address behind a router.
_NO_ADDRESS: Final = ("tag:", "group:", "autogroup:", "svc:")


def read(text: str) -> dict[str, Any]:
    """A policy file.

    Args:
        text: JSON, with comments and trailing commas as Tailscale has them.

    Raises:
        Failure: It is none.
    """
    try:
        found = json5.loads(text) if len(text) <= MAX_POLICY else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Failure(
            "The policy file is no JSON object with comments, or longer than 256 KiB: download it again from "
            "https://login.tailscale.com/admin/acls/file"
        )
    return found


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may reach what.

    Attributes:
        src: Selectors.
        dst: Selectors, without ports.
        ports: As in a grant: ``tcp:5432``, ``5432``, ``*``.
    """

    src: tuple[str, ...]
    dst: tuple[str, ...]
    ports: tuple[str, ...]


def check(policy: Mapping[str, Any], stage: Stage) -> Iterator[Finding]:
    """Compare a policy file with what a stage needs.

    Args:
        policy: As ``read`` gave it.
        stage: The deployment target.
    """
    network = ip_network(stage.network.cidr)
    yield from _tags(policy, stage)
    yield from _routes(policy, stage)
    if not ("grants" in policy or "acls" in policy):
        text = "the file has neither grants nor acls, and Tailscale then lets every device reach every other"
        yield Finding("missing", "rules", f"{text}: merge what signalbox tailnet {stage.name} prints")
        return
    try:
        rules = list(_rules(policy))
        objections = list(dict.fromkeys(_objections(policy, rules, stage)))
        reached = any(
            stage.names.node_tag in rule.src
            and _only(rule.ports, stage.database.port)
            and any(_covers(policy, target, network) for target in rule.dst)
            for rule in rules
        )
    except (AttributeError, TypeError, ValueError, RecursionError):
        yield Finding("missing", "rules", "they cannot be read: see https://tailscale.com/kb/1337/policy-syntax")
        return
    if not reached:
        text = f"no rule lets {stage.names.node_tag} reach tcp:{stage.database.port} of {network}"
        yield Finding("missing", "rules", f"{text}: merge what signalbox tailnet {stage.name} prints")
    yield from objections or [Finding("ok", "rules", f"only {stage.names.node_tag} reaches {network}")]
    wanted = tailnet_policy(stage)["tests"]
    if not all(test in (policy.get("tests") or ()) for test in wanted):
        text = "not in the file: with them Tailscale itself refuses to save a policy that opens the database"
        yield Finding("note", "tests", f"{text}: merge what signalbox tailnet {stage.name} prints")


def _tags(policy: Mapping[str, Any], stage: Stage) -> Iterator[Finding]:
    owners = _mapping(policy.get("tagOwners"))
    for tag in (stage.names.node_tag, stage.names.router_tag):
        own = owners.get(tag)
        if not isinstance(own, list):
            text = f"{tag} is in no tagOwners, so that nothing can join with it"
            yield Finding("missing", "tags", f"{text}: merge what signalbox tailnet {stage.name} prints")
        elif wide := sorted(set(map(str, own)) & _EVERYONE):
            text = f"{', '.join(wide)} may give {tag} to a device of theirs, and reach what it reaches"
            yield Finding("missing", "tags", f"{text}: name autogroup:admin")
        else:
            yield Finding("ok", "tags", f"{tag}, given by {', '.join(map(str, own)) or 'its own keys'}")


def _routes(policy: Mapping[str, Any], stage: Stage) -> Iterator[Finding]:
    network, router = ip_network(stage.network.cidr), stage.names.router_tag
    routes = _mapping(_mapping(policy.get("autoApprovers")).get("routes"))
    approving: set[str] = set()
    for prefix, approvers in routes.items():
        if _overlaps(str(prefix), network, covering=True) and isinstance(approvers, list):
            approving |= set(map(str, approvers))
    if router not in approving:
        text = f"{network} of {router} is approved by no autoApprovers: each new router would wait for a person"
        yield Finding("missing", "routes", f"{text}: merge what signalbox tailnet {stage.name} prints")
    elif others := sorted(approving - {router}):
        text = f"{', '.join(others)} may take the route {network} too: take that out of autoApprovers"
        yield Finding("note", "routes", text)
    else:
        yield Finding("ok", "routes", f"{network}, approved for {router}")


def _objections(policy: Mapping[str, Any], rules: Iterable[Rule], stage: Stage) -> Iterator[Finding]:
    network, api, port = ip_network(stage.network.cidr), stage.names.node_tag, stage.database.port
    for rule in rules:
        inside = [target for target in rule.dst if _reaches(policy, target, network)]
        if inside:
            for src in sorted(set(rule.src) - {api}):
                if src in _EVERYONE:
                    what = "everything, as in the policy of a new tailnet" if "*" in inside else str(network)
                    text = f"{src} reaches {what}, so that devices of people reach the database"
                    yield Finding("missing", "rules", f"{text}: name who may, or take the rule out")
                else:
                    yield Finding(
                        "note", "rules", f"{src} reaches {network} beside the service: take it out, or know why"
                    )
            if not _only(rule.ports, port):
                text = f"{', '.join(rule.src)} reaches {', '.join(rule.ports)} of {network}"
                yield Finding("missing", "rules", f"{text}: leave tcp:{port}")
        if {api} & set(rule.src) or _WITH_TAGS & set(rule.src):
            beyond = [target for target in rule.dst if not _covered(policy, target, network)]
            if beyond:
                text = f"the service's node reaches {', '.join(beyond)} beside the database"
                yield Finding("missing", "rules", f"{text}: take {api} out of that rule")


def _rules(policy: Mapping[str, Any]) -> Iterator[Rule]:
    for grant in policy.get("grants") or ():
        if "ip" in grant:  # a grant of an application alone opens no port
            yield Rule(tuple(grant["src"]), tuple(grant["dst"]), tuple(grant["ip"]))
    for entry in policy.get("acls") or ():
        src = tuple(entry.get("src") or entry.get("users") or ())
        protocol = f"{entry['proto']}:" if entry.get("proto") else ""
        for text in entry.get("dst") or entry.get("ports") or ():
            target, _, ports = text.rpartition(":")
            yield Rule(src, (target,), tuple(port if port == "*" else protocol + port for port in ports.split(",")))


def _only(ports: Iterable[str], port: int) -> bool:
    return set(ports) <= {f"tcp:{port}", f"6:{port}", str(port)}


def _addresses(policy: Mapping[str, Any], target: str, depth: int = 0) -> Iterator[str]:
    """Addresses and ranges that a selector names; ``*`` for one that is not understood."""
    if target in (hosts := _mapping(policy.get("hosts"))):
        yield str(hosts[target])
    elif target.startswith("ipset:"):
        if depth > 8:
            raise ValueError
        for entry in _mapping(policy.get("ipsets")).get(target, ("*",)):
            word, _, rest = str(entry).rpartition(" ")
            if word != "remove":
                yield from _addresses(policy, rest, depth + 1)
    elif target == "autogroup:danger-all":
        yield "*"
    elif not target.startswith(_NO_ADDRESS) and "@" not in target:
        yield target


def _reaches(policy: Mapping[str, Any], target: str, network: Any) -> bool:
    return any(_overlaps(text, network) for text in _addresses(policy, target))


def _covers(policy: Mapping[str, Any], target: str, network: Any) -> bool:
    return any(_overlaps(text, network, covering=True) for text in _addresses(policy, target))


def _covered(policy: Mapping[str, Any], target: str, network: Any) -> bool:
    """Whether a selector names addresses of the network, and no others."""
    found = list(_addresses(policy, target))
    return bool(found) and all(_overlaps(text, network, covered=True) for text in found)


def _overlaps(text: str, network: Any, *, covering: bool = False, covered: bool = False) -> bool:
    """Whether a range and the network have addresses in common; what is no range may be anything."""
    try:
        other = ip_network(text, strict=False)
    except ValueError:
        return not (covering or covered) or (covering and text == "*")
    if other.version != network.version:
        return False
    if covering or covered:
        return bool(network.subnet_of(other) if covering else other.subnet_of(network))
    return bool(other.overlaps(network))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
