"""Clients of boto3 that get their answers from a table. AWS's own service models judge both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.validate import ParamValidator

from infra.deploy.account import Account

Answer = Mapping[str, Any] | str | Callable[[Mapping[str, Any]], Any]


class Answering(Account):
    """An account that answers.

    Args:
        answers: ``service.Operation`` -> the answer; a text is the code of an error; a function takes the question.

    Attributes:
        asked: What was asked, in order.
    """

    def __init__(self, answers: Mapping[str, Answer], region: str = "us-east-1") -> None:
        super().__init__(region)
        self.answers, self.asked = dict(answers), list[str]()

    def _client(self, name: str) -> Any:
        client = boto3.client(  # type: ignore[call-overload]
            name, region_name=self.region, aws_access_key_id="test", aws_secret_access_key="test"
        )
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"provide-client-params.{service}", self._note)
        client.meta.events.register(f"before-call.{service}", self._answer)
        return client

    def _note(self, params: Any, **_: Any) -> None:
        self._params = params

    def _answer(self, model: Any, **_: Any) -> tuple[Any, Any]:
        key = f"{model.service_model.service_name}.{model.name}"
        self.asked.append(key)
        answer = self.answers[key]
        if callable(answer):
            answer = answer(self._params)
        if isinstance(answer, str):
            return SimpleNamespace(status_code=400), {"Error": {"Code": answer, "Message": answer}}
        if model.output_shape is not None:
            report = ParamValidator().validate(answer, model.output_shape)
            assert not report.has_errors(), report.generate_report()
        return SimpleNamespace(status_code=200), dict(answer)
