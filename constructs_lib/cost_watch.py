"""What a stage costs is watched: a budget, and alerts on what is unusual."""

from __future__ import annotations

import json

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_ce as ce
from aws_cdk import aws_sns as sns
from constructs import Construct

PUBLISHERS = ("budgets.amazonaws.com", "costalerts.amazonaws.com")
"""Services that tell of costs."""

_WARNINGS = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
"""What is compared with the budget, and from which share on, in percent, somebody is told."""


class CostWatch(Construct):
    """Defines a monthly budget of everything that carries a tag, and alerts when it costs unusually much.

    Both know only tags that were activated for cost allocation in the billing console of the account that pays.

    Args:
        name: Physical name of budget, monitor and subscription.
        tag: Key of the tag.
        value: Its value.
        monthly_usd: The budget. People are told at 80 and 100 percent, and when the forecast is above it.
        unusual_usd: By how much a day must be above what was expected. Default: nobody is told of such days.
        topic: Whom to tell; it must let ``PUBLISHERS`` publish.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        tag: str,
        value: str,
        monthly_usd: float,
        unusual_usd: float | None,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        budget = budgets.CfnBudget
        budget(
            self,
            "Budget",
            budget=budget.BudgetDataProperty(
                budget_name=name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{tag}${value}"]},
            ),
            notifications_with_subscribers=[
                budget.NotificationWithSubscribersProperty(
                    notification=budget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[budget.SubscriberProperty(address=topic.topic_arn, subscription_type="SNS")],
                )
                for kind, percent in _WARNINGS
            ],
        )
        if unusual_usd is not None:
            self._watch_days(name, tag, value, unusual_usd, topic)

    def _watch_days(self, name: str, tag: str, value: str, unusual_usd: float, topic: sns.ITopic) -> None:
        tagged = {"Tags": {"Key": tag, "Values": [value], "MatchOptions": ["EQUALS"]}}
        impact = {"Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE", "MatchOptions": ["GREATER_THAN_OR_EQUAL"]}
        monitor = ce.CfnAnomalyMonitor(
            self, "Days", monitor_name=name, monitor_type="CUSTOM", monitor_specification=json.dumps(tagged)
        )
        ce.CfnAnomalySubscription(
            self,
            "Unusual",
            subscription_name=name,
            frequency="IMMEDIATE",
            monitor_arn_list=[monitor.ref],
            threshold_expression=json.dumps({"Dimensions": {**impact, "Values": [f"{unusual_usd:g}"]}}),
            subscribers=[ce.CfnAnomalySubscription.SubscriberProperty(address=topic.topic_arn, type="SNS")],
        )
