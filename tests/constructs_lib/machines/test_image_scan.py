"""An image whose scan has found something too severe, or is not over, does not run."""

from typing import Any

import pytest

from constructs_lib.asl import FAILURE_STATE, State, machine, remember, succeed
from constructs_lib.machines.image_scan import scan_states
from constructs_lib.names.scan_file import Scan

DIGEST = f"sha256:{'5' * 64}"


def definition(scan: Scan) -> State:
    """Reads the scan, then goes on; what fails ends with its error and cause."""
    return machine(
        "Scans",
        {
            "Begin": remember({"digest": DIGEST}),
            **scan_states(scan, "boxes", "$digest", following="Train"),
            "Train": succeed({"trained": True}),
            FAILURE_STATE: succeed({"error": "{% $failure.error %}", "cause": "{% $failure.cause %}"}),
        },
        timeout=60,
    )


def scanned(status: str = "COMPLETE", *findings: tuple[str, str], **counts: int) -> dict[str, Any]:
    named = [{"Name": name, "Severity": severity, "Uri": "https://example.com"} for name, severity in findings]
    told: dict[str, int] = {severity: sum(each[1] == severity for each in findings) for _, severity in findings}
    found = {"FindingSeverityCounts": {**told, **counts}, "Findings": named}
    return {"result": {"ImageScanStatus": {"Status": status, "Description": "said so"}, "ImageScanFindings": found}}


NOT_THERE = {"error": "Ecr.ScanNotFoundException", "cause": "no scan yet"}


def outcome(walk: Any, *answers: dict[str, Any], scan: Scan | None = None) -> Any:
    done = walk(definition(scan or Scan()), {}, {"ReadScan": list(answers)})
    assert done.status == "SUCCEEDED", done.cause
    return done


def test_asks_for_the_image_by_its_digest(walk: Any) -> None:
    done = outcome(walk, scanned())
    asked = done.arguments("ReadScan")
    assert (asked["RepositoryName"], asked["ImageId"]) == ("boxes", {"ImageDigest": DIGEST})
    assert done.output == {"trained": True}


def test_findings_that_are_less_severe_stop_nothing(walk: Any) -> None:
    done = outcome(walk, scanned("COMPLETE", ("CVE-1", "HIGH"), ("CVE-2", "LOW")))
    assert done.output == {"trained": True}


def test_a_severe_finding_stops_the_run_by_its_name(walk: Any) -> None:
    done = outcome(walk, scanned("COMPLETE", ("CVE-1", "HIGH"), ("CVE-2", "CRITICAL")))
    assert done.output == {
        "error": "ImageUnsafe",
        "cause": f"image {DIGEST} has 1 findings of severity CRITICAL or above: CVE-2 (CRITICAL)",
    }


def test_the_most_severe_are_named_first_and_all_are_counted(walk: Any) -> None:
    many = [(f"CVE-{number}", "HIGH") for number in range(12)]
    done = outcome(walk, scanned("COMPLETE", *many, ("CVE-X", "CRITICAL"), HIGH=70), scan=Scan(stop_at="HIGH"))
    cause = done.output["cause"]
    assert "has 71 findings of severity HIGH or above: CVE-X (CRITICAL), CVE-0 (HIGH)" in cause
    assert cause.count("CVE-") == 10


def test_findings_of_enhanced_scanning_count_as_well(walk: Any) -> None:
    found = {
        "FindingSeverityCounts": {"CRITICAL": 1, "UNTRIAGED": 2},
        "EnhancedFindings": [{"Title": "CVE-9 - openssl", "Severity": "CRITICAL"}],
    }
    done = outcome(walk, {"result": {"ImageScanStatus": {"Status": "ACTIVE"}, "ImageScanFindings": found}})
    assert done.output["cause"].endswith(": CVE-9 - openssl (CRITICAL)")


def test_a_severe_finding_that_is_not_on_the_first_page_stops_the_run_too(walk: Any) -> None:
    assert outcome(walk, scanned("COMPLETE", ("CVE-1", "LOW"), CRITICAL=1)).output["error"] == "ImageUnsafe"


def test_waits_for_a_scan_that_is_not_over(walk: Any) -> None:
    done = outcome(walk, NOT_THERE, scanned("IN_PROGRESS"), scanned("PENDING"), scanned())
    assert done.output == {"trained": True}
    assert done.path.count("WaitForScan") == 3


def test_waits_no_longer_than_the_workload_says(walk: Any) -> None:
    done = outcome(walk, scanned("IN_PROGRESS"), scan=Scan(wait_minutes=2))
    assert done.output["error"] == "ScanPending"
    assert done.output["cause"] == f"the scan of {DIGEST} was not over after 2 minutes"
    assert 120 <= done.seconds < 180


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED"])
def test_an_image_that_could_not_be_scanned_does_not_run(walk: Any, status: str) -> None:
    assert outcome(walk, scanned(status)).output == {
        "error": "ScanFailed",
        "cause": f"the scan of {DIGEST} is {status}: said so",
    }


def test_a_workload_may_let_no_finding_stop_a_run() -> None:
    assert scan_states(Scan(stop_at=None), "boxes", "$digest", following="Train") == {}
