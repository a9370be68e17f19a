"""A version that served before is better on the rows whose truth is known: people are told of it, or it comes back."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gapless_sagemaker.model import LoadedModel, load
from local.chain import Chain
from local.executions import SUCCEEDED, Execution, execution_arn
from local.story.sabotage import deployment_of, push
from tests.end_to_end.live import Live
from tests.end_to_end.served import TARGET, look, rows_of, serve, tell

ROWS = 240
"""A few more labels than the monitor wants before it judges answers."""

OUTWEIGH = 3
"""How often each row is asked where others may have asked the sound model in the same hour."""

AS_BEFORE = """

# Another archive, the same answers.
"""

UPSIDE_DOWN = """

_sound_predict_fn = predict_fn


def predict_fn(instances, model):
    return [{**each, "probability": 1.0 - each["probability"]} for each in _sound_predict_fn(instances, model)]
"""


def package_of(chain: Chain) -> str:
    """The ARN of the model that a batch ended in, which is deployed."""
    assert chain.package is not None and chain.outcome() == "deployed", chain
    return chain.package.arn


def model_of(live: Live, package_arn: str, folder: Path) -> LoadedModel:
    """A registered model, in this process."""
    package = live.client("sagemaker").describe_model_package(ModelPackageName=package_arn)
    folder.mkdir()
    (folder / "model.tar.gz").write_bytes(live.read(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]))
    return load(folder, folder / "opened")


def disputed(first: LoadedModel, second: LoadedModel) -> tuple[list[dict[str, Any]], list[bool]]:
    """Orders about which two models disagree most, and what is true of them if the first one is right."""
    names = ("amount", "items", "channel", "region")
    values = (range(5, 200, 5), range(1, 9), ("web", "shop"), ("north", "south", "west"))
    orders = [dict(zip(names, order, strict=True)) for order in itertools.product(*values)]
    more = [
        a["probability"] - b["probability"] for a, b in zip(first.predict(orders), second.predict(orders), strict=True)
    ]
    ranked = sorted(range(len(orders)), key=more.__getitem__)
    chosen = [*ranked[: ROWS // 2], *ranked[-ROWS // 2 :]]
    return [orders[each] for each in chosen], [more[each] > 0 for each in chosen]


def hour_from_now() -> dt.datetime:
    """Of what is served now, the window has ended by then."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)


def entry(live: Live, event: str) -> dict[str, str]:
    """An entry of the audit trail."""
    (found,) = [each for each in live.trail() if each["event"] == event]
    return found


def run_id_of(record: Mapping[str, str]) -> str:
    """Of a run of the monitor, by its record."""
    return record["run"].partition("#")[2]


def status(live: Live, package_arn: str) -> str:
    return str(live.client("sagemaker").describe_model_package(ModelPackageName=package_arn)["ModelApprovalStatus"])


def check_went_back(live: Live, done: Execution, expected: Mapping[str, str], left: str) -> None:
    """The rollback is a guarded deployment; who wanted it and why is recorded, and told to whoever is on call."""
    assert done.status == SUCCEEDED, (done.error, done.cause)
    assert {"UpdateEndpoint", "GoldenAfter", "AuditRollback", "RejectLeft"} <= {state.name for state in done.states}
    record = live.record(f"live#{live.workload}")
    assert {name: record[name] for name in expected} == expected
    assert record["previous_package_arn"] == left
    audited = entry(live, f"model-rolled-back#{done.name}")
    assert {name: audited[name] for name in expected} == expected
    assert audited["rolled_back_from"] == left
    told = live.on_call.notice(lambda notice: notice.get("event") == "rolled back" and notice["execution"] == done.arn)
    assert (told["from"], told["to"]) == (left, expected["model_package_arn"])
    assert {name: told[name] for name in ("cause", "actor", "reason")} == {
        name: expected[name] for name in ("cause", "actor", "reason")
    }
    assert status(live, left) == "Rejected"


def test_a_better_version_is_proposed_and_the_proposed_command_goes_back(
    kept: Live, kept_twice: tuple[Chain, Chain], tmp_path: Path
) -> None:
    """It is not the one that served right before, which is no better than the one that serves."""
    earlier, between = map(package_of, kept_twice)
    serving = push(kept.platform, between, AS_BEFORE)
    assert deployment_of(kept.platform, serving).status == SUCCEEDED
    assert kept.record("live#kept_orders")["previous_package_arn"] == between
    orders, late = disputed(
        model_of(kept, earlier, tmp_path / "earlier"), model_of(kept, between, tmp_path / "between")
    )
    tell(kept, dict(zip(serve(kept, orders), late, strict=True)))
    found = look(kept, hour_from_now())
    assert json.loads(found["families"])["quality"]["violations"] == 1, found
    looked = kept.read_json(f"{found['report_uri'].rpartition('/')[0]}/monitoring.json")["earlier"]
    assert [each["better"] for each in looked["versions"]] == [False, True]

    proposed = entry(kept, f"rollback-proposed#{run_id_of(found)}")
    told = kept.on_call.notice(lambda notice: notice.get("better") == earlier)
    assert (told["serving"], told["run_id"]) == (serving, run_id_of(found))
    assert (proposed["model_package_arn"], proposed["serving"], proposed["by"]) == (earlier, serving, "the monitor")
    assert proposed["reason"] == told["reason"]
    assert f"on {ROWS} labelled rows auc is " in told["reason"]
    assert kept.record("live#kept_orders")["model_package_arn"] == serving
    assert status(kept, serving) == "Approved"

    typed = shlex.split(told["command"])
    assert typed[:3] == ["aws", "stepfunctions", "start-execution"]
    given = dict(zip(typed[3::2], typed[4::2], strict=True))
    started = kept.client("stepfunctions").start_execution(
        stateMachineArn=given["--state-machine-arn"], input=given["--input"]
    )
    expected = {"model_package_arn": earlier, "cause": "rollback", "actor": "you", "reason": told["reason"]}
    check_went_back(kept, kept.end_of("deployment", started["executionArn"]), expected, serving)


def test_a_better_version_comes_back_by_itself_where_the_workload_says_so(everything: Live, march: Chain) -> None:
    earlier = package_of(march)
    serving = push(everything.platform, earlier, UPSIDE_DOWN)
    assert deployment_of(everything.platform, serving).status == SUCCEEDED
    rows = rows_of(everything, march, ROWS) * OUTWEIGH
    tell(everything, {name: row[TARGET] for name, row in zip(serve(everything, rows), rows, strict=True)})
    found = look(everything, hour_from_now())
    assert json.loads(found["families"])["quality"]["violations"] == 1, found

    run_id = run_id_of(found)
    done = everything.end_of("deployment", execution_arn(everything.outputs.machines["deployment"], f"{run_id}-score"))
    wanted = entry(everything, f"rollback-by-score#{run_id}")
    assert (wanted["model_package_arn"], wanted["serving"]) == (earlier, serving)
    expected = {
        "model_package_arn": earlier,
        "cause": "score",
        "actor": "the monitor",
        "reason": wanted["reason"],
    }
    check_went_back(everything, done, expected, serving)
