"""Who is told when something is wrong: alarms, the audit trail, the budget."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.aws.constructs.alarms import Alarms
from infra.aws.constructs.trail import Trail
from infra.aws.stacks.access import AccessStack
from infra.aws.stacks.base import StageStack
from infra.aws.stacks.data import DataStack
from infra.aws.stacks.identity import IdentityStack
from infra.stage.names import LABEL, StageNames
from infra.stage.outputs import emit
from infra.stage.record import Stage


class WatchStack(StageStack):
    """The last stack.

    Args:
        scope: The app.
        stage: Its configuration.
        data: What is watched.
        identity: What is watched, too.
        access: And this.
        logs_key: Encrypts the topic, the trail and its log group.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        data: DataStack,
        identity: IdentityStack,
        access: AccessStack,
        logs_key: kms.IKey,
    ) -> None:
        super().__init__(scope, stage=stage, part="watch", description=f"{LABEL}: alarms, audit trail, budget")
        self.topic = self._build_topic(stage, logs_key)
        log_groups: dict[str, logs.ILogGroup] = {}
        if identity.users.sign_ins is not None:
            log_groups["sign-ins"] = identity.users.sign_ins
        if stage.watch.trail:
            trail = Trail(
                self,
                "Trail",
                stage_name=stage.name,
                key=logs_key,
                access_logs=data.access_logs,
                documents=data.documents.bucket,
                retain=stage.retain,
            )
            log_groups["trail"] = trail.log_group
            emit(self, "TrailLogGroupName", trail.log_group.log_group_name)
        dimensions = {
            "database": {"DBInstanceIdentifier": data.database.instance.instance_identifier},
            "token-function": {"FunctionName": identity.pre_token.function.function_name},
        }
        if access.router is not None:
            dimensions["router"] = {"AutoScalingGroupName": access.router.group.auto_scaling_group_name}
        Alarms(
            self,
            "Alarms",
            stage_name=stage.name,
            topic=self.topic,
            dimensions=dimensions,
            log_groups=log_groups,
            sources=("roles-anywhere",) if stage.access == "roles-anywhere" else (),
            key=logs_key,
        )
        if stage.watch.budget_usd is not None:
            self._set_budget(stage.name, stage.watch.budget_usd)
        emit(self, "AlarmTopicArn", self.topic.topic_arn)

    def _build_topic(self, stage: Stage, key: kms.IKey) -> sns.Topic:
        topic = sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OfThisAccount",
                principals=[iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("cloudwatch", "budgets")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if stage.watch.email is not None:
            topic.add_subscription(subscriptions.EmailSubscription(stage.watch.email))
        return topic

    def _set_budget(self, stage_name: str, amount: int) -> None:
        reader = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=self.topic.topic_arn)
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=StageNames(stage_name).whole,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=amount, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[reader],
                )
                for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
            ],
        )
