"""The scan of an image is read before the image runs: what is found in it may stop the run.

ECR scans an image when it is pushed. A scan that is not over yet is waited for; how severe a finding has to be, and how
long to wait, is the workload's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from constructs_lib.asl import Catch, State, choice, go_to, jsonata, now_seconds, remember, task, wait
from constructs_lib.machines.common import CALL_SECONDS, MINUTE, own_failure, text
from constructs_lib.names.scan_file import SEVERITIES, Scan

FINAL_ERRORS = ("ImageUnsafe",)
"""Errors of an image that must not run; another try would meet them again, unless the image is scanned anew."""

_POLL_SECONDS = 30
_NOT_YET = ("IN_PROGRESS", "PENDING", "none")
_OVER = ("ACTIVE", "COMPLETE")
_MOST_NAMED = 10
_PAGE = 50


@dataclass(frozen=True)
class ScannedImages:
    """Names a repository whose images are scanned, and what is too severe; the name may be a token."""

    repository_name: str
    scan: Scan


def scan_states(scan: Scan, repository_name: str, digest: str, *, following: str) -> dict[str, State]:
    """Returns the states that go on only with an image whose scan is over and has found nothing too severe.

    Args:
        scan: What stops the run.
        repository_name: Where the image is; may be a token.
        digest: The JSONata of the image's digest, ``sha256:…``.
        following: The state to go on with.
    """
    if scan.stop_at is None:
        return {}
    in_time = f"{now_seconds()} < $scan_deadline"
    not_yet = f"$scan.status in {list(_NOT_YET)}"
    return {
        "BeginScan": remember({"scan_deadline": jsonata(f"{now_seconds()} + {scan.wait_minutes * MINUTE}")}),
        "ReadScan": read_scan(scan, repository_name, digest),
        "ScanOver": choice(
            [
                (f"{not_yet} and {in_time}", "WaitForScan"),
                (not_yet, "ScanPending"),
                (f"$not($scan.status in {list(_OVER)})", "ScanFailed"),
                ("$scan.severe > 0", "ImageUnsafe"),
            ],
            default=following,
        ),
        "WaitForScan": go_to("ReadScan", wait(_POLL_SECONDS)),
        "ScanPending": own_failure(
            "ScanPending", f"'the scan of ' & {digest} & ' was not over after {scan.wait_minutes} minutes'"
        ),
        "ScanFailed": own_failure(
            "ScanFailed", f"'the scan of ' & {digest} & ' is ' & $scan.status & ': ' & $scan.why"
        ),
        "ImageUnsafe": own_failure(
            "ImageUnsafe",
            f"'image ' & {digest} & ' has ' & $scan.severe & ' findings of severity {scan.stop_at} or above: ' "
            f"& $join($scan.named, ', ')",
        ),
    }


def read_scan(scan: Scan, repository_name: str, digest: str) -> State:
    """Reads how the scan is, how many findings are too severe, and what some of them are called.

    Counts are of all findings; names are of the first page, most severe first.
    """
    stopping = SEVERITIES[SEVERITIES.index(str(scan.stop_at)) :]
    found = "$states.result.ImageScanFindings"
    counts = " + ".join(f"$n({found}.FindingSeverityCounts.{severity})" for severity in stopping)
    basic = f"{found}.Findings.{{'name': Name, 'severity': Severity}}"
    enhanced = f"{found}.EnhancedFindings.{{'name': Title, 'severity': Severity}}"
    ranks = "{" + ", ".join(f"{text(severity)}: {rank}" for rank, severity in enumerate(stopping)) + "}"
    named = (
        f"($order := {ranks}; $all := $append([{basic}], [{enhanced}]); "
        f"$severe := [$all[$exists($lookup($order, severity))]]; "
        "$worst := $sort($severe, function($l, $r) {$lookup($order, $l.severity) < $lookup($order, $r.severity)}); "
        f"[$map([$worst[[0..{_MOST_NAMED - 1}]]], function($v) {{$v.name & ' (' & $v.severity & ')'}})])"
    )
    return task(
        "aws-sdk:ecr:describeImageScanFindings",
        {"RepositoryName": repository_name, "ImageId": {"ImageDigest": jsonata(digest)}, "MaxResults": _PAGE},
        timeout=CALL_SECONDS,
        assign={
            "scan": {
                "status": jsonata("[$states.result.ImageScanStatus.Status, 'none'][0]"),
                "why": jsonata("[$states.result.ImageScanStatus.Description, 'no reason given'][0]"),
                "severe": jsonata(f"($n := function($c) {{$exists($c) ? $c : 0}}; {counts})"),
                "named": jsonata(named),
            }
        },
        catch=[Catch(["Ecr.ScanNotFoundException"], "ScanOver", {"scan": {"status": "none"}})],
    )
