"""The adopter's two files with another name, region and addresses, and everything else as it was.

What comes out is checked by the record of a stage itself before anything is written.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from infra.deploy.literals import Literal, Source
from infra.shell.failure import Failure
from infra.stage.names import StageNames, title
from infra.stage.record import Stage
from infra.stage.told import told

SERVICE_FILE: Final = Path("service/product.py")
INFRA_FILE: Final = Path("infra/product.py")
LOCAL: Final = "local"  # the one stage whose name is the template's: `signalbox up` runs it
_T = TypeVar("_T")
_Edits = list[tuple[Literal, tuple[str, ...]]]


class InitError(Failure):
    """What was asked for cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the adopter says; what is None or absent stays as it is. A stage may be named as it is, or as it will be.

    Attributes:
        name: Of the product.
        title: Of the product.
        region: Of every stage that has no region of its own.
        domain: Takes the place of the domain that all addresses end with.
        stages: New names, by present ones.
        apis: Origins of the API, by stage.
        front_ends: Origins of the front ends, by stage.
        emails: Where alarms and the budget go, by stage.
    """

    name: str | None = None
    title: str | None = None
    region: str | None = None
    domain: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    apis: Mapping[str, str] = field(default_factory=dict)
    front_ends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    emails: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Written:
    """A stage as the file has it."""

    name: Literal
    api: Literal
    front_ends: Literal
    email: Literal | None


class Product:
    """The two files, as they are.

    Args:
        root: The checkout.
        records: What the second one makes.

    Attributes:
        name: Of the product.
        title: Of the product.
        region: Of every stage that has no region of its own.
        records: The stages.

    Raises:
        Failure: A file does not have a value as a text.
    """

    def __init__(self, root: Path, records: Mapping[str, Stage]) -> None:
        self._root, self.records = root, records
        self._service, self._infra = Source(root, SERVICE_FILE), Source(root, INFRA_FILE)
        self._name, self._title = self._service.assigned("NAME"), self._service.assigned("TITLE")
        self._region = self._infra.assigned("REGION")
        self.name, self.title, self.region = self._name.text, self._title.text, self._region.text
        self._written: dict[str, _Written] = {}
        for call in self._infra.calls("Stage"):
            name, email = self._infra.argument(call, "name"), self._infra.argument(call, "email", within="watch")
            api, front_ends = self._infra.argument(call, "public_url"), self._infra.argument(call, "allowed_origins")
            if name is not None and api is not None and front_ends is not None:
                self._written[name.text] = _Written(name, api, front_ends, email)
        if self._written.keys() != records.keys():
            raise InitError(f"{INFRA_FILE}: write each stage as Stage(name=..., public_url=..., allowed_origins=...)")

    @property
    def domain(self) -> str:
        """What the addresses of all stages but ``local`` end with; empty where they have nothing in common."""
        addresses = (
            address
            for name, record in self.records.items()
            if name != LOCAL
            for address in (record.public_url, *record.allowed_origins)
        )
        hosts = [urlsplit(one).netloc.split(".")[::-1] for one in addresses]
        shared = [set(labels) for labels in zip(*hosts, strict=False)]
        alike = next((number for number, labels in enumerate(shared) if len(labels) > 1), len(shared))
        return ".".join(labels.pop() for labels in shared[:alike][::-1]) if alike > 1 else ""

    def moved(self, stage: str, address: str, domain: str | None) -> str:
        """An address of a stage below another domain.

        Args:
            stage: Whose it is; those of ``local`` stay.
            address: As it is.
            domain: None leaves it.

        Raises:
            InitError: The addresses end with no domain in common.
        """
        if domain is None or stage == LOCAL:
            return address
        if not self.domain:
            raise InitError("The addresses have no domain in common to replace: give each with --api and --front-end")
        return address.removesuffix(self.domain) + domain

    def changed(self, wanted: Wanted) -> dict[Path, str]:
        """The text of each file that becomes another.

        Args:
            wanted: What the adopter says.

        Raises:
            InitError: It names a stage that is not there, or makes a product or a stage that must not exist.
        """
        try:
            title(wanted.title or self.title)
        except ValueError as refused:
            raise InitError(str(refused)) from None
        service: _Edits = [
            (self._name, (wanted.name or self.name,)),
            (self._title, (wanted.title or self.title,)),
        ]
        infra: _Edits = [(self._region, (wanted.region or self.region,))]
        renamed = self._renamed(wanted.stages)
        apis, front_ends, emails = (
            self._of_stages(asked, wanted.stages) for asked in (wanted.apis, wanted.front_ends, wanted.emails)
        )
        made = []
        for name, written in self._written.items():
            change: dict[str, object] = {
                "name": renamed.get(name, name),
                "public_url": apis.get(name) or self.moved(name, written.api.text, wanted.domain),
                "allowed_origins": front_ends.get(name)
                or tuple(self.moved(name, one, wanted.domain) for one in written.front_ends.texts),
            }
            if name in emails and written.email is None:
                raise InitError(f"Stage {name} tells nobody yet: write watch=Watch(email=...) in {INFRA_FILE} first")
            if name in emails:
                change["watch"] = self.records[name].watch.model_dump() | {"email": emails[name]}
            if self.records[name].region == self.region:
                change["region"] = wanted.region or self.region
            stage = self._checked(name, change, wanted.name or self.name)
            made.append(stage.name)
            infra += [
                (written.name, (stage.name,)),
                (written.api, (stage.public_url,)),
                (written.front_ends, stage.allowed_origins),
            ]
            if written.email is not None and stage.watch.email is not None:
                infra.append((written.email, (stage.watch.email,)))
        if len(set(made)) < len(made):
            raise InitError("Two stages would have one name: give each a name of its own")
        texts = {SERVICE_FILE: self._service.edited(service), INFRA_FILE: self._infra.edited(infra)}
        return {file: text for file, text in texts.items() if text != self._text(file)}

    def difference(self, texts: Mapping[Path, str]) -> str:
        """What would change, as ``diff -u`` says it.

        Args:
            texts: As ``changed`` made them.
        """
        return "".join(
            line
            for file, text in texts.items()
            for line in difflib.unified_diff(
                self._text(file).splitlines(True), text.splitlines(True), f"a/{file}", f"b/{file}"
            )
        )

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write each file whole, or not at all.

        Args:
            texts: As ``changed`` made them.
        """
        for file, text in texts.items():
            path = self._root / file
            handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".init-")
            with os.fdopen(handle, "w", encoding="utf-8") as new:
                new.write(text)
            Path(beside).chmod(path.stat().st_mode)
            Path(beside).replace(path)

    def _text(self, file: Path) -> str:
        return self._service.text if file == SERVICE_FILE else self._infra.text

    def _renamed(self, asked: Mapping[str, str]) -> dict[str, str]:
        """New names by present ones, without what an earlier run has done."""
        if LOCAL in asked:
            raise InitError("Stage local keeps its name: signalbox up runs it")
        if missing := [old for old, new in asked.items() if old not in self.records and new not in self.records]:
            raise InitError(self._unknown(missing))
        return {old: new for old, new in asked.items() if old in self.records}

    def _of_stages(self, asked: Mapping[str, _T], renames: Mapping[str, str]) -> dict[str, _T]:
        """What is asked, by present names: in the first run those are the old ones, in the next the new ones."""
        present = {name: name for name in self.records}
        for old, new in renames.items():
            present |= {new: old} if old in self.records else {old: new}
        if missing := [name for name in asked if name not in present]:
            raise InitError(self._unknown(missing))
        return {present[name]: value for name, value in asked.items()}

    def _unknown(self, missing: list[str]) -> str:
        return f"There is no stage {', '.join(map(repr, missing))}: the stages are {', '.join(self.records)}"

    def _checked(self, name: str, change: Mapping[str, object], product: str) -> Stage:
        """The record that it becomes; the login's address follows the names unless the stage has one of its own."""
        record = self.records[name]
        values = record.model_dump() | dict(change)
        try:
            if record.domain_prefix == record.names.login:
                values["domain_prefix"] = StageNames(str(change["name"]), product).login
            return Stage.model_validate(values)
        except ValidationError as failure:
            raise InitError(f"Stage {name}: {told(failure, follows='domain_prefix')}") from None
        except ValueError as refused:
            raise InitError(str(refused)) from None


def keep_on_merge(root: Path) -> bool:
    """Tell git what ``merge=product`` in .gitattributes means: the adopter's side of these files stands.

    Git takes a driver from its configuration alone, which no clone brings along.

    Args:
        root: The checkout.

    Returns:
        Whether this is a git checkout.
    """

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)

    top = git("rev-parse", "--show-toplevel")
    if top.returncode or Path(top.stdout.strip()).resolve() != root.resolve():
        return False
    return git("config", "merge.product.driver", "true").returncode == 0
