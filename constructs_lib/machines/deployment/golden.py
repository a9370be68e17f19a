"""The golden requests: asked of the model before the endpoint is touched, and of the endpoint after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from constructs_lib.asl import JSON, State, attempt, expression, jsonata, task
from constructs_lib.machines.common import MINUTE, Surroundings
from constructs_lib.machines.deployment.modes import REQUESTS
from constructs_lib.machines.deployment.parts import DeploymentParts
from constructs_lib.machines.jobs import IN, MESSAGE, OUT, input_files, processing_job, result_uri
from constructs_lib.machines.scoring import GOLDEN, GOLDEN_REQUESTS, answer_requests

_GOLDEN_MINUTES = 30
_LATER_SECONDS = 16 * MINUTE
"""How long asynchronous golden requests may take: the longest that a function can run, and a minute."""


def golden_states(s: Surroundings, p: DeploymentParts) -> dict[str, State]:
    """Returns the states that have the model answer the golden requests, before the endpoint is touched."""
    if p.scoring is None:
        return {"GoldenBefore": golden_before(s, p, jsonata("$package.image"), [], [])}
    containers = [{"ModelPackageName": jsonata("$states.input.model_package_arn")}]
    model = {"kind": GOLDEN, "folder": "", "containers": containers}
    answers = [input_files("answers", jsonata("$answers_uri"))]
    told = ["--answers", f"{IN}/answers", "--refusals", str(p.refusals)]
    return {
        "WriteGolden": write_golden(s, p),
        "AskGolden": answer_requests(
            s, p.place, p.scoring, expression([model]), assign={"answers_uri": jsonata("$states.result[0].uri")}
        ),
        "GoldenBefore": golden_before(s, p, p.place.image_uri, told, answers),
    }


def write_golden(s: Surroundings, p: DeploymentParts) -> State:
    """Writes the golden requests for a batch transform."""
    return processing_job(
        s,
        p.place,
        replace(p.golden_jobs, minutes=_GOLDEN_MINUTES),
        kind="ask",
        command="golden_requests",
        role_arn=p.processing_role_arn,
        image_uri=p.place.image_uri,
        arguments=["--golden", f"{IN}/golden", "--output", OUT, "--message", MESSAGE],
        inputs=[
            input_files("job", p.place.job_code_uri),
            input_files("golden", jsonata(p.place.bundle_uri(s, "$package.bundle"))),
        ],
        output_prefix=GOLDEN_REQUESTS,
        assign={"requests_uri": jsonata(f"'{result_uri(s, p.place, GOLDEN_REQUESTS)}' & {attempt()} & '/'")},
    )


def golden_before(
    s: Surroundings, p: DeploymentParts, image_uri: str, arguments: Sequence[str], inputs: Sequence[JSON]
) -> State:
    """Holds the model's answers to the golden requests against what they have to be.

    Args:
        image_uri: The model's own image, or that of a job that is told the answers.
        arguments, inputs: Beside those of every such job.
    """
    return processing_job(
        s,
        p.place,
        replace(p.golden_jobs, minutes=_GOLDEN_MINUTES),
        kind="golden",
        command="golden",
        role_arn=p.processing_role_arn,
        image_uri=image_uri,
        arguments=[
            *("--model", f"{IN}/model", "--golden", f"{IN}/golden", "--output", OUT, "--message", MESSAGE),
            *("--model_sha256", jsonata("$package.model_sha256")),
            *(["--allow_pickle"] if p.allow_pickle else []),
            *arguments,
        ],
        inputs=[
            input_files("job", p.place.job_code_uri),
            input_files("model", jsonata("$package.model_uri")),
            input_files("golden", jsonata(p.place.bundle_uri(s, "$package.bundle"))),
            *inputs,
        ],
        output_prefix="golden",
        assign={"golden_uri": jsonata(f"'{result_uri(s, p.place, 'golden')}' & {attempt()} & '/golden.json'")},
    )


def golden_after(s: Surroundings, p: DeploymentParts, variant: str | None = None) -> State:
    """Asks the endpoint the golden requests: it has to answer as the model did before.

    Args:
        variant: Which of several variants is asked. Default: there is one.
    """
    requests = f"s3://{p.place.artefacts_bucket}/{s.workload}/{REQUESTS}/golden/"
    return task(
        "lambda:invoke",
        {
            "FunctionName": p.check_golden_arn,
            "Payload": {
                "endpoint_name": p.endpoint_name,
                "golden_uri": jsonata("$golden_uri"),
                **({"variant": variant} if variant is not None else {}),
                **({"requests_uri": requests} if p.fleet.later is not None else {}),
                **({"routing": jsonata("$models.routing")} if p.model_set is not None else {}),
            },
        },
        timeout=5 * MINUTE if p.fleet.later is None else _LATER_SECONDS,
        on_failure="TakeBack",
    )
