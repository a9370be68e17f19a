"""The replay of a data run: a published dataset is made again and compared with what was published.

Input of the data machine: ``{"run_id", "workload", "replay": true, "version": <a published version>}``; what the
dataset was made of comes from its published manifest and report. Nothing is published and no figure is counted; what
the new attempt wrote is a leftover.
Output: ``{"dataset": <the published manifest>, "replayed": {"attempt", "splits"}}``.
"""

from __future__ import annotations

from constructs_lib.asl import State, choice, expression, jsonata, succeed
from constructs_lib.machines.common import (
    Surroundings,
    find_object,
    get_json,
    own_failure,
    run_record,
    text,
)

FINAL_ERRORS = ("NotReplayable", "ReplayDiffers")
"""Errors that another try would meet again: the dataset cannot be made here, or other rows came of it."""

WANTED = "$exists($states.input.replay) and $states.input.replay = true"
"""The JSONata of whether the execution is a replay."""

BATCH_URI = "$original_batch_uri"
AS_OF = "$original.as_of"
"""The JSONata of what the original was made of."""


def bundle_uri(bundles_uri: str) -> str:
    """The JSONata of where the original's scripts are.

    Args:
        bundles_uri: The folder of all bundles, ``s3://…/``.
    """
    return f"{text(bundles_uri)} & $original.bundle & '/sourcedir.tar.gz'"


def check_input(*, answers: bool = False) -> str:
    """The JSONata of what the check of the batch takes.

    Args:
        answers: Whether people's answers go into datasets; then the original's are taken. Default: they do not.
    """
    return expression(
        {
            "batch_uri": jsonata(BATCH_URI),
            "as_of": jsonata(AS_OF),
            "bundle": {"bundle": jsonata("$original.bundle")},
            **({"answers_uri": jsonata("[$original.answers.uri, 'none'][0]")} if answers else {}),
        }
    )


def replay_states(
    s: Surroundings, *, bucket: str, engine: str, contract_digest: str, check: State, prepare: State
) -> dict[str, State]:
    """Returns the states of a replay, of which ``FindOriginal`` is the first.

    Args:
        bucket: Where datasets are.
        engine: Names the code and engine that would make the dataset now.
        contract_digest: Of the contract that would be used now.
        check: Checks the batch of the original; sets ``$replayed_version``.
        prepare: Runs the job for it; sets ``$replayed_attempt``.
    """
    return {
        "FindOriginal": find_original(s, bucket),
        "OriginalExists": choice([("$original_exists", "ReadOriginal")], default="NoOriginal"),
        "ReadOriginal": get_json(s, bucket, original_key(s), {"original": jsonata("$parse($states.result.Body)")}),
        "ReadOriginalReport": get_json(
            s,
            bucket,
            attempt_key(s, "$original.attempt"),
            {"original_batch_uri": jsonata("$parse($states.result.Body).batch_uri")},
        ),
        "SameCode": choice(
            [(f"$count({other_code(engine, contract_digest)}) > 0", "OtherCode")], default="CheckOriginal"
        ),
        "CheckOriginal": check,
        "SameInputs": choice([("$replayed_version = $original.version", "ReplayDataset")], default="OtherInputs"),
        "ReplayDataset": prepare,
        "ReadReplayed": get_json(
            s,
            bucket,
            attempt_key(s, "$replayed_attempt"),
            {"replayed": jsonata("$parse($states.result.Body).phases.splitting")},
        ),
        "SameRows": choice([(f"$count({other_splits()}) > 0", "RowsDiffer")], default="RecordReplay"),
        "RecordReplay": record_replay(s, bucket),
        "Replayed": succeed(
            {
                "dataset": jsonata("$original"),
                "replayed": {"attempt": jsonata("$replayed_attempt"), "splits": jsonata("$replayed")},
            }
        ),
        "NoOriginal": own_failure(
            "NotReplayable", "'no dataset of version ' & $string($states.input.version) & ' is published'"
        ),
        "OtherCode": own_failure(
            "NotReplayable",
            f"'what makes datasets now is not what made ' & $original.version & ': ' "
            f"& $join({other_code(engine, contract_digest)}, '; ')",
        ),
        "OtherInputs": own_failure(
            "NotReplayable",
            f"'the batch at ' & {BATCH_URI} & ' now makes version ' & $replayed_version & ', it made ' "
            "& $original.version",
        ),
        "RowsDiffer": own_failure("ReplayDiffers", told_differences()),
    }


def find_original(s: Surroundings, bucket: str) -> State:
    """Looks for the published manifest of the version that is asked for."""
    return find_object(s, bucket, original_key(s), "original_exists")


def record_replay(s: Surroundings, bucket: str) -> State:
    """Completes the run's record."""
    report = f"'s3://{bucket}/' & {attempt_key(s, '$replayed_attempt')}"
    return run_record(
        s,
        "data",
        {
            "status": "'replayed'",
            "as_of": AS_OF,
            "bundle": "$original.bundle",
            "batch_uri": BATCH_URI,
            "dataset_version": "$original.version",
            "report_uri": report,
        },
    )


def other_code(engine: str, contract_digest: str) -> str:
    """The JSONata of a sentence for each thing that is another one now than it was."""
    now = {"engine": (engine, "$original.engine"), "contract": (contract_digest, "$original.contract_digest")}
    told = [
        f"{then} = {text(value)} ? [] : '{what} was ' & {then} & ', is {value}'" for what, (value, then) in now.items()
    ]
    return f"$append({', '.join(told)})"


def other_splits() -> str:
    """The JSONata of the names of the splits whose rows are others than those published."""
    return "$keys($original.splits)[$lookup($original.splits, $).digest != $lookup($replayed, $).digest]"


def told_differences() -> str:
    """The JSONata of a sentence with rows and digest of every split that differs."""
    one = "$a.rows & ' rows of digest ' & $string($a.digest)"
    each = (
        "function($n) {($a := $lookup($original.splits, $n); $b := $lookup($replayed, $n); "
        f"$n & ': published were ' & {one} & ', replayed ' & {one.replace('$a', '$b')})}}"
    )
    return f"'version ' & $original.version & ' again gave other rows: ' & $join($map({other_splits()}, {each}), '; ')"


def original_key(s: Surroundings) -> str:
    """The JSONata of the key of the published manifest."""
    return f"'{s.workload}/' & $states.input.version & '/manifest.json'"


def attempt_key(s: Surroundings, attempt: str) -> str:
    """The JSONata of the key of an attempt's report.

    Args:
        attempt: The JSONata of the attempt's id.
    """
    return f"'{s.workload}/' & $states.input.version & '/attempt=' & {attempt} & '/report.json'"
