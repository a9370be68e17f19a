"""The gate's verdict as a page beside the evaluation's report, which is made before anybody judges."""

from __future__ import annotations

from constructs_lib.asl import UNNAMED_S3, State, jsonata, task
from constructs_lib.machines.common import CALL_SECONDS, Surroundings, text

PAGE = "verdict.html"
"""Its name, to which the report links."""

_ESCAPED = "function($t) {$replace($replace($replace($string($t), '&', '&amp;'), '<', '&lt;'), '>', '&gt;')}"
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem}"
    "td,th{text-align:left;padding:.25rem 1.2rem .25rem 0;vertical-align:top}"
)


def write_verdict(s: Surroundings, bucket: str) -> State:
    """Writes each rule with its reason, whether the model passed or not; writing it again changes nothing.

    Args:
        bucket: Where evaluations are.
    """
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": bucket,
            "Key": jsonata(f"{text(f'{s.workload}/evaluations/')} & $evaluation_id & '/{PAGE}'"),
            "Body": jsonata(_page(s)),
            "ContentType": "text/html; charset=utf-8",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        retry_also=UNNAMED_S3,
    )


def _page(s: Surroundings) -> str:
    """The JSONata of the page; what was measured is in the report."""
    title = f"'Verdict on run ' & $h($states.input.run_id) & ' of {s.workload}'"
    row = "'<tr><th scope=\"row\">' & $h(rule) & '</th><td>' & (passed ? 'holds' : 'broken') & '</td><td>'"
    rows = f"$join([$verdict.rules.({row} & $h(reason) & '</td></tr>')], '')"
    outcome = "$verdict.passed ? 'It passed: every rule holds.' : 'It was rejected: a rule is broken.'"
    head = '<thead><tr><th scope="col">Rule</th><th scope="col">Verdict</th><th scope="col">Reason</th></tr></thead>'
    parts = [
        f'\'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>\' & {title}',
        f"'</title><style>{_STYLE}</style></head><body><h1>' & {title} & '</h1><p>' & ({outcome})",
        f"'</p><table><caption>The gate</caption>{head}<tbody>' & {rows}",
        "'</tbody></table><p><a href=\"report.html\">What was measured</a></p></body></html>'",
    ]
    return f"($h := {_ESCAPED}; {' & '.join(parts)})"
