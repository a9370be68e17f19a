"""A web application firewall before a stage of a REST API."""

from __future__ import annotations

from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from constructs_lib.alarms import FailureAlarms, Metric, alarm
from constructs_lib.place import REGION

_BLOCKED = 100
_MANAGED = {
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY",),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    "AWSManagedRulesAmazonIpReputationList": (),
}
"""AWS's rule groups, and those of their rules that only count: a request of many instances is larger than 8 KB."""


class WebFirewall(Construct):
    """Defines a web ACL of AWS's managed rules and a limit per address, in front of one stage.

    Args:
        name: Name of the web ACL.
        stage_arn: The stage of the API.
        rate: Requests of one address within five minutes above which it is blocked.
        alarms: Whom to tell when many requests are blocked.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, stage_arn: str, rate: int, alarms: FailureAlarms
    ) -> None:
        super().__init__(scope, construct_id)
        rules = [_managed(priority, group, counted) for priority, (group, counted) in enumerate(_MANAGED.items())]
        limit = wafv2.CfnWebACL.RuleProperty(
            name="Rate",
            priority=len(rules),
            action=wafv2.CfnWebACL.RuleActionProperty(block={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(aggregate_key_type="IP", limit=rate)
            ),
            visibility_config=_visible("Rate"),
        )
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            name=name,
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            rules=[*rules, limit],
            visibility_config=_visible(name),
        )
        wafv2.CfnWebACLAssociation(self, "Association", resource_arn=stage_arn, web_acl_arn=acl.attr_arn)
        alarm(
            self,
            "Blocked",
            alarms=alarms,
            metric=Metric("AWS/WAFV2", "BlockedRequests", {"WebACL": name, "Region": REGION, "Rule": "ALL"}),
            threshold=_BLOCKED,
            description=f"The firewall of {name} blocks many requests",
            runbook="Look at the web ACL's sampled requests: an attack, or a rule that refuses what callers need",
        )


def _managed(priority: int, group: str, counted: tuple[str, ...]) -> wafv2.CfnWebACL.RuleProperty:
    counts = [
        wafv2.CfnWebACL.RuleActionOverrideProperty(
            name=rule, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
        )
        for rule in counted
    ]
    return wafv2.CfnWebACL.RuleProperty(
        name=group,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS", name=group, rule_action_overrides=counts or None
            )
        ),
        visibility_config=_visible(group),
    )


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
