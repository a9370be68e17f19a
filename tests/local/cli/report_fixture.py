"""A run that never happened, with every document that a report is made of."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from local.chain import Chain, Package
from local.executions import Execution, StateRun
from local.report.content import Content
from local.runs.read import Run
from local.sizing.hints import Hint
from local.sizing.things import Cost, Thing

BEGIN = dt.datetime(2013, 5, 1, 12, 0, tzinfo=dt.UTC)
RUN_ID = "0123456789abcdef-1"
VERSION = "c0ffee" + "0" * 26
PACKAGE_ARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/dev-flight-delays-models/3"
SOURCES = ("flights", "weather", "planes", "airports", "airlines")


def at(seconds: float) -> dt.datetime:
    """An instant of the run."""
    return BEGIN + dt.timedelta(seconds=seconds)


def execution(
    machine: str, begin: float, end: float, states: list[tuple[str, float, float]], **others: Any
) -> Execution:
    """An execution that went well, unless other fields say otherwise; times are seconds of the run."""
    fields: dict[str, Any] = {
        "machine": machine,
        "arn": f"arn:aws:states:us-east-1:000000000000:execution:dev-flight-delays-{machine}:{RUN_ID}-{machine[0]}0-0",
        "status": "SUCCEEDED",
        "started": at(begin),
        "ended": at(end),
        "input": {"run_id": RUN_ID, "as_of": "2013-05-01T04:00:00Z"},
        "output": {},
        "error": None,
        "cause": None,
        "states": tuple(StateRun(name, at(entered), at(exited)) for name, entered, exited in states),
    }
    return Execution(**(fields | others))


def any_chain() -> Chain:
    """A run that ended with a deployment."""
    return Chain(
        RUN_ID,
        (
            execution("loop", 0, 31, [("AcquireLease", 0, 0.2), ("RunData", 0.2, 19), ("RunModel", 19, 31)]),
            execution(
                "data", 0.3, 19, [("CheckBatch", 0.3, 1), ("PrepareDataset", 1, 18), ("PublishDataset", 18, 18.1)]
            ),
            execution("model", 19.2, 31, [("Train", 19.3, 26), ("Evaluate", 26, 30.5), ("JudgeModel", 30.5, 30.8)]),
            execution(
                "deployment",
                31.5,
                44,
                [("GoldenBefore", 32, 35), ("CreateEndpoint", 35, 36), ("WaitForEndpoint", 36, 43)],
            ),
        ),
        Package(PACKAGE_ARN, "Approved"),
    )


def any_report() -> dict[str, Any]:
    """``report.json``."""
    sources = {
        name: {"rows_in": 1000, "validated": 1000, "quarantined": 0, "reasons": {}}
        for name in SOURCES
        if name != "flights"
    }
    flights = {
        "rows_in": 109_119,
        "validated": 109_100,
        "quarantined": 19,
        "reasons": {"dep_time: not an int: '<b>noon</b>'": 12, "duplicate of row 17": 7},
    }
    return {
        "version": VERSION,
        "phases": {
            "validation": {
                "rows_in": 113_119,
                "rows_validated": 113_100,
                "rows_quarantined": 19,
                "quarantined_share": 19 / 113_119,
                "sources": {"flights": flights, **sources},
                "rules": [
                    {
                        "rule": 'ColumnValues "distance" > 0',
                        "source": "flights",
                        "passed": True,
                        "value": 1.0,
                        "refused_rows": 0,
                    },
                    {
                        "rule": "RowCount > 100",
                        "source": "flights",
                        "passed": False,
                        "value": 12,
                        "refused_rows": 0,
                        "note": "Dataset.*.RowCount is 12, which the rule does not allow",
                    },
                ],
                "drift": {"count": 0, "alarming": 0, "entries": []},
            },
            "cleaning": {"rows_in": 109_100, "rows_out": 106_900, "changes": {"cancelled flights left out": 2200}},
            "splitting": {
                name: {
                    "rows": rows,
                    "from": f"2013-0{month}-01",
                    "to": f"2013-0{month}-28",
                    "positives": rows // 4,
                    "digest": "d" * 64,
                }
                for name, rows, month in (("train", 70_000, 1), ("validation", 18_000, 3), ("test", 18_900, 4))
            },
        },
    }


def any_profile() -> dict[str, Any]:
    """``profile.json``."""
    common = {"missing": 12, "missing_share": 0.0001, "distinct": 40, "identifies": False, "missing_strength": 0.5}
    histogram = {
        "edges": [80 + 250 * step for step in range(21)],
        "rows": [500 * (20 - step) for step in range(20)],
        "positives": [90 * (20 - step) for step in range(20)],
    }
    distance = {
        "type": "int",
        **common,
        "strength": 0.541,
        "min": 80.0,
        "max": 4983.0,
        "mean": 1031.5,
        "stddev": 720.0,
        "correlation": -0.04,
        "clock": 0.01,
        "quantiles": [80.0 + 49 * step for step in range(101)],
        "histogram": histogram,
    }
    carrier = {
        "type": "string",
        **common,
        "strength": 0.612,
        "values": [
            {"value": f"C{step}", "rows": 9000 - 800 * step, "positives": 2000 - 100 * step} for step in range(10)
        ],
    }
    empty: dict[str, Any] = {
        "type": "double",
        **common,
        "strength": None,
        "min": None,
        "max": None,
        "mean": None,
        "stddev": None,
        "correlation": None,
        "clock": None,
        "quantiles": [],
        "histogram": {"edges": [], "rows": [], "positives": []},
    }
    return {
        "format": 3,
        "rows": 106_900,
        "sample_rows": 20_013,
        "target": {
            "name": "arrives_late",
            "shown": "arrives_late holds",
            "positives": 26_700,
            "share": 0.2498,
            "over_time": {
                "edges": [f"{dt.date(2013, 1, 1) + dt.timedelta(days=6 * step)}T00:00:00Z" for step in range(21)],
                "rows": [5345] * 19 + [0],
                "positives": [1300 + step for step in range(19)] + [0],
            },
        },
        "columns": {"distance": distance, "carrier": carrier, "wind_gust": empty},
        "pairs": [{"left": "distance", "right": "carrier", "measure": "cramers_v", "value": 0.3141}],
        "not_paired": ["wind_gust"],
        "warnings": [{"kind": "empty", "columns": ["wind_gust"], "text": "wind_gust has no value in any row"}],
        "comparison": any_comparison(),
    }


def any_comparison() -> dict[str, Any]:
    """What ``profile.json`` says of the dataset before."""
    missing = {"missing_share": [0.1, 0.2], "missing_changed": True}
    return {
        "version": "beef" + "0" * 28,
        "as_of": "2013-04-01T04:00:00.000000Z",
        "unavailable": None,
        "rows": [80_000, 106_900],
        "target": {"name": "arrives_late", "share": [0.2, 0.2498]},
        "added": [],
        "removed": [],
        "retyped": {},
        "columns": {
            "distance": {**missing, "psi": 0.0123, "psi_limit": 0.25},
            "carrier": {
                **missing,
                "psi": 1.2345,
                "psi_limit": 0.25,
                "new_values": ["<b>new</b>", *(f"N{step}" for step in range(9))],
                "new_share": 0.3,
                "vanished_values": [],
                "vanished_share": 0.0,
            },
            "wind_gust": {**missing, "psi": None, "psi_limit": None},
        },
        "warnings": [{"kind": "moved", "columns": ["carrier"], "text": "carrier has moved (PSI 1.23, …)"}],
    }


def any_details() -> dict[str, Any]:
    """``details.json`` beside ``evaluation.json``."""
    fpr = [step / 100 for step in range(101)]
    predicted = [step / 20 for step in range(1, 15)]
    return {
        "curves": {
            "roc": {"fpr": fpr, "tpr": [math.sqrt(value) for value in fpr]},
            "calibration": {
                "predicted": predicted,
                "observed": [value * 0.95 for value in predicted],
                "count": [945] * len(predicted),
            },
        }
    }


def any_evaluation() -> dict[str, Any]:
    """``evaluation.json``."""
    return {
        "model": {
            "sha256": "a" * 64,
            "bytes": 345_678,
            "files": [{"path": "model.ubj", "bytes": 300_000, "kind": "xgboost", "sha256": "b" * 64}],
        },
        "problem": "binary_classification",
        "rows": 18_900,
        "positives": 4_725,
        "metric": "auc",
        "metrics": {"auc": 0.7712, "log_loss": 0.46, "brier": 0.151, "accuracy": 0.79, "base_rate": 0.25},
        "intervals": {"auc": {"low": 0.7601, "high": 0.7823, "level": 0.95, "method": "bootstrap_percentile"}},
        "champion": {
            "sha256": "e" * 64,
            "metrics": {"auc": 0.7654, "log_loss": 0.47, "brier": 0.153, "accuracy": 0.78, "base_rate": 0.25},
            "intervals": {},
            "comparison": {
                "auc": {
                    "difference": 0.0058,
                    "low": 0.0011,
                    "high": 0.0105,
                    "level": 0.05,
                    "p_value": 0.0421,
                    "test": "delong",
                }
            },
        },
        "calibration": {"error": 0.0123, "groups": 14, "slope": 0.97, "intercept": -0.012},
        "slices": [
            {
                "column": "origin",
                "slice": "<b>EWR</b>",
                "rows": 9000,
                "enough": True,
                "metrics": {"auc": 0.7555},
                "interval": {"low": 0.7444, "high": 0.7666, "level": 0.95, "method": "bootstrap_percentile"},
            },
            {"column": "origin", "slice": "JFK", "rows": 19, "enough": False, "metrics": {}, "interval": None},
        ],
        "importance": {f"feature_{step}": 100.0 / (step + 1) for step in range(20)},
        "test_digest": "f" * 64,
    }


def any_manifest() -> dict[str, Any]:
    """The published manifest."""
    inputs = [
        {"source": name, "key": f"flight_delays/2013-01-to-04/{name}.csv.gz", "sha256": name[0] * 64, "bytes": 10}
        for name in SOURCES
    ]
    return {
        "workload": "flight_delays",
        "version": VERSION,
        "bundle": "9" * 64,
        "inputs": inputs,
        "tables": [],
        "splits": {},
    }


def any_content(**others: Any) -> Content:
    """Everything, unless other fields say otherwise."""
    fields: dict[str, Any] = {
        "workload": "flight_delays",
        "stage": "dev",
        "chain": any_chain(),
        "report": any_report(),
        "profile": any_profile(),
        "manifest": any_manifest(),
        "evaluation": any_evaluation(),
        "evaluation_details": any_details(),
        "evaluation_page": '<!doctype html><title>"Bias" & cost</title>',
        "gate": (
            {
                "rule": "auc at least",
                "limit": 0.65,
                "value": 0.7712,
                "passed": True,
                "reason": "0.7712 is at least 0.65",
            },
        ),
        "package": {
            "ModelPackageArn": PACKAGE_ARN,
            "ModelPackageVersion": 3,
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataProperties": {"run_id": RUN_ID, "model_sha256": "a" * 64},
        },
        "endpoint": {
            "EndpointName": "dev-flight-delays-live",
            "EndpointStatus": "InService",
            "EndpointConfigName": "dev-flight-delays-conf-aaaaaaaaaaaaaaaa-bbbbbbbb",
        },
        "endpoint_config": {
            "ProductionVariants": [
                {
                    "VariantName": "primary",
                    "ModelName": "dev-flight-delays-model-aaaa",
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 2,
                }
            ],
            "DataCaptureConfig": {"EnableCapture": True, "InitialSamplingPercentage": 100},
        },
        "golden": {
            "passed": True,
            "cases": [
                {
                    "name": "a short hop",
                    "passed": True,
                    "predictions": [{"probability": 0.2, "label": False}],
                    "refused": None,
                },
                {
                    "name": "nonsense",
                    "passed": None,
                    "predictions": None,
                    "refused": None,
                    "reason": "left to the endpoint",
                },
            ],
        },
    }
    fields["runs"] = any_runs()
    fields["sizes"] = any_sizes()
    return Content(**(fields | others))


def any_sizes() -> tuple[Thing, ...]:
    """A job on too large a machine, Glue's workers of which nobody knows, the endpoint and a function."""
    smaller = Hint("smaller", "neither processors nor memory are used to 40%: try ml.m5.large", "ml.m5.large")
    unknown = Hint("no figure", "nobody measured how many workers were at work")
    fits = Hint("fits", "processors or memory are used to 40% or more")
    full = Hint("larger", "91% is used: try <b>320</b> MB")
    return (
        Thing("job", "train", "1 x ml.m5.xlarge", 3, 0.09, 0.21, smaller, Cost(0.23, 0.115, "hour")),
        Thing("Glue job", "prepare", "2 x G.1X", 3, None, 0.02, unknown, Cost(0.88, None, "hour")),
        Thing("endpoint", "primary", "2 x ml.m5.large", None, 0.5, 0.1, fits, Cost(167.9, None, "month")),
        Thing("function", "StarterFunction", "256 MB", 70, None, 0.91, full),
    )


def any_runs() -> tuple[Run, ...]:
    """Two runs, of which the second was not good enough, and a replay of the first."""
    made_of = {"dataset_version": VERSION, "commit": "c0ffee", "workload": "flight_delays", "bundle": "9" * 64}
    first = {**made_of, "status": "registered", "as_of": "2013-05-01T00:00:00Z", "started": "2026-01-01T00:00:00Z"}
    second = {**made_of, "status": "rejected", "as_of": "2013-06-01T00:00:00Z", "started": "2026-02-01T00:00:00Z"}
    return (
        Run("first-1", {**first, "metrics": '{"auc": 0.7654, "brier": 0.153}', "model_sha256": "a" * 64}),
        Run("replay-1", {**first, "status": "replayed", "replay_of": "first-1", "metrics": '{"auc": 0.7654}'}),
        Run("second-1", {**second, "metrics": '{"auc": 0.7012, "brier": 0.161}', "model_sha256": "b" * 64}),
    )
