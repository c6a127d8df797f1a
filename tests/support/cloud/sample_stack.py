"""The local AWS with a small stack of the tests' own in it: a user pool, a database, a bucket, a network."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from infra.local.sign_in import Client, sign_in
from tests.support.cloud.emulator import Emulator

STACK = Path(__file__).with_name("stack.template.json").read_text()
CALLBACK = "http://127.0.0.1:8000/api/v1/auth/cognito/callback"
PASSWORD = "a-Long-Passw0rd-of-alice"


class StackedEmulator(Emulator):
    """The process, and a stack in it."""

    def deploy(self, marker: str = "one", *, update: bool = False) -> dict[str, str]:
        """Through CloudFormation; returns the outputs."""
        cloudformation = self.client("cloudformation")
        action = cloudformation.update_stack if update else cloudformation.create_stack
        action(StackName="test", TemplateBody=STACK, Parameters=[{"ParameterKey": "Round", "ParameterValue": marker}])
        while True:
            (stack,) = cloudformation.describe_stacks(StackName="test")["Stacks"]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(0.02)
        done = "UPDATE_COMPLETE" if update else "CREATE_COMPLETE"
        assert stack["StackStatus"] == done, (stack.get("StackStatusReason"), self.log.read_text()[-4000:])
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def destroy(self) -> None:
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName="test")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="test", WaiterConfig={"Delay": 0.05})

    def secret(self, arn: str) -> Any:
        return json.loads(self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])

    def sign_in(self, outputs: dict[str, str], user: str = "alice") -> dict[str, str]:
        pages = Client(f"{self.url}/oauth2/authorize", f"{self.url}/oauth2/token", outputs["Client"], CALLBACK)
        return sign_in(pages, f"{user}@example.com", PASSWORD)


def create_user(emulator: Emulator, outputs: dict[str, str], name: str, tenant: str | None) -> None:
    cognito, who = emulator.client("cognito-idp"), {"UserPoolId": outputs["Pool"], "Username": f"{name}@example.com"}
    attributes = {"email": f"{name}@example.com"} | ({"custom:tenant_id": tenant} if tenant else {})
    cognito.admin_create_user(
        **who,
        TemporaryPassword=PASSWORD,
        MessageAction="SUPPRESS",
        UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items()],
    )
    cognito.admin_set_user_password(**who, Password=PASSWORD, Permanent=True)
