from typing import Any

import pytest

from gate.nag import judge_report

REASON = "The role of one workload's job; its name ends in an id that is made at run time"


def report(*, violations: list[Any] | None = None, suppressed: list[Any] | None = None) -> dict[str, Any]:
    run = {"pluginName": "AwsSolutions", "violations": violations or [], "suppressedViolations": suppressed or []}
    return {"pluginReports": [run]}


def acknowledged(rule: str, reason: str = REASON) -> dict[str, Any]:
    return {"ruleName": rule, "reason": reason, "acknowledgedAt": "dev/Work/Role"}


def test_an_open_finding_is_a_finding() -> None:
    open_finding = {
        "ruleName": "AwsSolutions-S1",
        "description": "no access log",
        "violatingConstructs": [{"constructPath": "dev/Lake/Bucket"}],
    }
    assert list(map(str, judge_report(report(violations=[open_finding])))) == [
        "dev/Lake/Bucket: no access log (AwsSolutions-S1)"
    ]


def test_a_finding_may_be_acknowledged_with_a_reason() -> None:
    assert judge_report(report(suppressed=[acknowledged("AwsSolutions-IAM5[Resource::*]")])) == []


@pytest.mark.parametrize("rule", ["AwsSolutions-IAM4", "AwsSolutions-IAM5"])
def test_refuses_to_acknowledge_a_whole_rule(rule: str) -> None:
    (finding,) = judge_report(report(suppressed=[acknowledged(rule)]))
    assert "name the finding in brackets" in str(finding)


def test_refuses_an_acknowledgement_without_a_reason() -> None:
    (finding,) = judge_report(report(suppressed=[acknowledged("AwsSolutions-IAM5[Resource::*]", "fine")]))
    assert "without a reason of at least 40 characters" in str(finding)


def test_refuses_a_report_of_a_run_without_the_pack() -> None:
    with pytest.raises(LookupError, match="no run of AwsSolutions"):
        judge_report({"pluginReports": [{"pluginName": "Construct Annotations", "violations": []}]})
