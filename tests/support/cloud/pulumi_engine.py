"""What of Pulumi's engine a dynamic resource sees: its real provider process, spoken to over its real protocol.

Pulumi's command line is a download of its own, so the engine is played here: check, create, diff, update, with the
state kept in between. Preview, ordering and encryption of the state are not played, and not tested.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self
from unittest.mock import patch

import grpc  # type: ignore[import-untyped]
import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from tests.support.api.server import ROOT


def encode(values: Mapping[str, Any]) -> Any:
    return asyncio.run(rpc.serialize_properties(dict(values), {}))


def run(mocks: pulumi.runtime.Mocks, program: Callable[[], None]) -> None:
    """Run a program under mocks, and close the event loops that Pulumi makes for every thread and leaves open."""
    made = []
    real = asyncio.new_event_loop

    def new_event_loop() -> asyncio.AbstractEventLoop:
        made.append(real())
        return made[-1]

    with patch("asyncio.new_event_loop", new_event_loop):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            pulumi.runtime.set_mocks(mocks, preview=False)
            pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            for each in made:
                each.close()


class Engine:
    """One provider process and one state."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.done: list[str] = []
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = {**kept, "PYTHONPATH": str(ROOT), **environment}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.support.cloud.command", "pulumi.dynamic"],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._provider = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._provider.Configure(provider_pb2.ConfigureRequest(), timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._process.terminate()
        self._process.communicate(timeout=20)

    def up(self, program: Callable[[], None]) -> None:
        """Run a program once, as ``pulumi up`` does."""
        self.done = []
        run(_Monitor(self), program)

    def refresh(self, name: str) -> None:
        """As ``pulumi refresh`` does: the state becomes what is there."""
        old = self.state[name]
        asked = provider_pb2.ReadRequest(id=old["id"], urn=_urn(name), properties=encode(old["outs"]))
        found = self._provider.Read(asked, timeout=60)
        if found.id:
            old["outs"] = rpc.deserialize_properties(found.properties)
        else:
            del self.state[name]

    def destroy(self, name: str) -> None:
        """As ``pulumi destroy`` does."""
        old = self.state[name]
        asked = provider_pb2.DeleteRequest(id=old["id"], urn=_urn(name), properties=encode(old["outs"]))
        self._provider.Delete(asked, timeout=60)
        del self.state[name]

    def register(self, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        urn = _urn(name)
        old = self.state.get(name)
        check = provider_pb2.CheckRequest(urn=urn, olds=encode(old["inputs"] if old else {}), news=encode(inputs))
        checked = self._provider.Check(check, timeout=20).inputs
        if old is None:
            made = self._provider.Create(provider_pb2.CreateRequest(urn=urn, properties=checked), timeout=60)
            self.done.append("create")
            found = {"id": made.id, "inputs": inputs, "outs": rpc.deserialize_properties(made.properties)}
        else:
            olds = encode(old["outs"])
            asked = provider_pb2.DiffRequest(id=old["id"], urn=urn, olds=olds, news=checked)
            difference = self._provider.Diff(asked, timeout=20)
            if difference.changes == provider_pb2.DiffResponse.DIFF_NONE:
                self.done.append("same")
                return old["id"], old["outs"]
            self.done.append("replace" if difference.replaces else "update")
            change = provider_pb2.UpdateRequest(id=old["id"], urn=urn, olds=olds, news=checked)
            changed = self._provider.Update(change, timeout=60)
            found = {"id": old["id"], "inputs": inputs, "outs": rpc.deserialize_properties(changed.properties)}
        self.state[name] = found
        return found["id"], found["outs"]


def _urn(name: str) -> str:
    return f"urn:pulumi:stack::project::pulumi-python:dynamic:Resource::{name}"


class _Monitor(pulumi.runtime.Mocks):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        return {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = {name: rpc.unwrap_rpc_secret(value) for name, value in args.inputs.items()}
        return self._engine.register(args.name, inputs)
