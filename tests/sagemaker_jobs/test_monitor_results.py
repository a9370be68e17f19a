"""What SageMaker's own monitors found is measured and shown as the platform's own monitor does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import monitor_results
from gapless_sagemaker.job import BadArguments
from gapless_sagemaker.monitoring.backends import levels
from gapless_sagemaker.monitoring.baseline import Baseline, make_baseline
from gapless_sagemaker.monitoring.checks import distances
from gapless_sagemaker.monitoring.documents import statistics
from gapless_sagemaker.monitoring.limits import Limits
from gapless_sagemaker.monitoring.results import LOOKS_AT, WITHHELD, BadResults, Results, Violation, sketch_of
from gapless_sagemaker.monitoring.sketch import NumberSketch, Sketch
from read_monitors.handler import FAMILIES, SCHEDULES, told
from tests.sagemaker_jobs.options_folder import options_folder

FEATURES = ["amount", "region", "owner"]
IMPORTANCE = {"amount": 0.5, "region": 0.3, "owner": 0.01}
Found = dict[str, Any]


def rows(seed: int, *, dearer: float = 0.0, missing: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    amounts = random.normal(10 + dearer, 3, 4000)
    return pa.table(
        {
            "amount": [None if place < missing else float(each) for place, each in enumerate(amounts)],
            "region": random.choice(["north", "south", "west"], 4000, p=[0.5, 0.3, 0.2]),
            "owner": random.choice(["ann", "bob"], 4000),
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    made = make_baseline([rows(1)], FEATURES)
    made.metrics = {"metric": "auc", "values": {"auc": 0.8}, "intervals": {}, "bias": None}
    made.importance = dict(IMPORTANCE)
    return made


def served(baseline: Baseline, table: pa.Table) -> dict[str, Sketch]:
    found = {name: sketch.empty() for name, sketch in baseline.columns.items()}
    for name, sketch in found.items():
        sketch.add(table[name])
    return found


def written(now: Mapping[str, Sketch]) -> Found:
    """``statistics.json`` as Model Monitor's executions write it: with a sketch of every number."""
    document = statistics(now, 4000)
    for feature in document["features"]:
        sketch = now[feature["name"]]
        if isinstance(sketch, NumberSketch):
            kll = feature["numerical_statistics"]["distribution"]["kll"]
            kll["sketch"] = {"parameters": {"c": 0.64, "k": 2048.0}, "data": levels(sketch)}
    return document


def violation(check: str, description: str = "it is broken", **about: str) -> dict[str, str]:
    return {"constraint_check_type": check, "description": description, **about}


class Job:
    """The job with folders of its own."""

    def __init__(self, folder: Path, baseline: Baseline) -> None:
        self.folder, self.kinds = folder, dict[str, Path]()
        (folder / "baseline").mkdir()
        (folder / "baseline" / "baseline.json").write_text(json.dumps(baseline.document()))
        content = {"more_is_better": True, "sensitive": ["owner"], "features": FEATURES}
        self.options = options_folder(folder, monitoring={"backend": "clarify", "margin": 0.05}, **content)

    def found(self, kind: str, *violations: Mapping[str, str], **documents: Any) -> None:
        self.kinds[kind] = self.folder / kind
        self.kinds[kind].mkdir()
        written = {**documents, **({"constraint_violations": {"violations": violations}} if violations else {})}
        for name, content in written.items():
            (self.kinds[kind] / f"{name}.json").write_text(json.dumps(content))

    def run(self) -> Found:
        folders = [f"--{kind}={folder}" for kind, folder in self.kinds.items()]
        named = [f"--{name}={self.folder / name}" for name in ("baseline", "output", "message")]
        monitor_results.main([*folders, *named, f"--options={self.options}", "--as_of=2026-03-02T00:00:00Z"])
        found: Found = json.loads((self.folder / "output" / "monitoring.json").read_text())
        return found

    @property
    def page(self) -> str:
        return (self.folder / "output" / "report.html").read_text()


@pytest.fixture
def job(tmp_path: Path, baseline: Baseline) -> Job:
    return Job(tmp_path, baseline)


def test_the_worst_distance_is_the_one_that_the_own_monitor_measures(job: Job, baseline: Baseline) -> None:
    now = served(baseline, rows(2, dearer=4))
    job.found("data", violation("baseline_drift_check", feature_name="amount"), statistics=written(now))
    found = job.run()
    own = distances(baseline.columns["amount"], now["amount"], Limits(), 3)
    assert found["columns"]["amount"]["psi"]["value"] == pytest.approx(own["psi"]["value"])
    assert found["columns"]["region"]["l_infinity"]["value"] < 0.1
    assert found["families"]["drift"] == {"violations": 1, "worst": pytest.approx(own["psi"]["value"])}
    assert found["families"]["schema"] == found["families"]["completeness"] == {"violations": 0, "worst": 0.0}
    assert (found["rows"], found["labels"]) == (4000, None)
    assert "Features that have moved" in job.page
    assert "what is broken, SageMaker Model Monitor says" in job.page
    assert "Not looked at, by whoever judges, or not in this window: Distribution of answers" in job.page


def test_shares_are_those_of_the_columns_that_are_broken(job: Job, baseline: Baseline) -> None:
    now = served(baseline, rows(2, missing=1000))
    other = {"name": "extra", "inferred_type": "String", "string_statistics": {"common": {"num_present": 1}}}
    document = written(now)
    document["features"].append(other)
    typed = "Data type match requirement is not met. Expected data type: Integral, Expected match: 100.0%. Observed: "
    job.found(
        "data",
        violation("completeness_check", feature_name="amount"),
        violation("data_type_check", f"{typed}Only 97.5% of data is Integral.", feature_name="region"),
        statistics=document,
    )
    families = job.run()["families"]
    assert families["completeness"] == {"violations": 1, "worst": pytest.approx(0.25)}
    assert families["schema"] == {"violations": 1, "worst": pytest.approx(0.025)}


@pytest.mark.parametrize(
    ("broken", "worst"),
    [
        (violation("missing_column_check", feature_name="gone"), 1.0),
        (violation("extra_column_check", feature_name="region"), 1.0),
        (violation("data_type_check", "told otherwise", feature_name="amount"), None),
        (violation("categorical_values_check", feature_name="region"), pytest.approx(0.5, abs=0.03)),
    ],
)
def test_a_share_that_no_document_holds_stays_unknown(
    job: Job, baseline: Baseline, broken: dict[str, str], worst: Any
) -> None:
    table = rows(2)
    renamed = pa.array(["east" if each == "north" else each for each in table["region"].to_pylist()])
    now = served(baseline, table.set_column(1, "region", renamed))
    job.found("data", broken, statistics=written(now))
    assert job.run()["families"]["schema"] == {"violations": 1, "worst": worst}


def test_answers_groups_and_features_have_their_figures(job: Job) -> None:
    quality = {
        "auc": {"value": 0.7, "standard_deviation": "NaN"},
        "f1": {"value": float("nan")},
        "confusion_matrix": {},
    }
    facet = {"value_or_threshold": "north", "metrics": [{"name": "DPPL", "value": 0.4}, {"name": "DI", "value": None}]}
    bias = {"post_training_bias_metrics": {"label": "late", "facets": {"region": [facet]}}}
    weights = {"global_shap_values": {"amount": 0.01, "region": 0.3, "owner": 0.5}}
    job.found(
        "quality",
        violation("LessThanThreshold", metric_name="auc"),
        statistics={"dataset": {"item_count": 300}, "binary_classification_metrics": quality},
    )
    about = {"facet": "region", "facet_value": "north", "metric_name": "DPPL"}
    job.found("bias", violation("bias_drift_check", **about), analysis=bias)
    job.found("attributions", analysis={"explanations": {"kernel_shap": {"label0": weights}}})
    found = job.run()
    assert found["families"] == {
        "quality": {"violations": 1, "worst": 0.7},
        "bias": {"violations": 1, "worst": 0.4},
        "attributions": {"violations": 0, "worst": pytest.approx(found["attributions"]["ndcg"])},
    }
    assert found["attributions"]["ndcg"] < 0.9
    assert (found["quality"]["metrics"], found["quality"]["allowed"]) == ({"auc": 0.7}, pytest.approx(0.75))
    assert (found["rows"], found["labels"]) == (None, 300)
    for text in ("SageMaker Model Monitor and Clarify says", "region=north", "How good the answers were", "NDCG"):
        assert text in job.page


def test_descriptions_of_sensitive_columns_are_withheld(job: Job, baseline: Baseline) -> None:
    broken = violation("categorical_values_check", "ann is new", feature_name="owner")
    job.found("data", broken, statistics=written(served(baseline, rows(2))))
    assert job.run()["violations"][0]["text"] == WITHHELD
    assert "ann is new" not in job.page


def test_what_is_broken_is_counted_as_the_function_counts_it(baseline: Baseline) -> None:
    checks = ("completeness_check", "baseline_drift_check", "data_type_check", "a_new_check")
    for kind, suffix in SCHEDULES.items():
        broken = [violation(check, feature_name="amount") for check in checks]
        results = Results(baseline, {suffix: {"constraint_violations.json": {"violations": broken}}})
        own = [(each.family, each.column, each.check, each.text) for each in results.violations()]
        names = ("family", "column", "check", "text")
        assert own == [tuple(each[name] for name in names) for each in told(kind, broken)]
        assert LOOKS_AT[suffix] == FAMILIES[kind]


def test_a_distribution_that_is_not_whole_is_not_compared(baseline: Baseline) -> None:
    features = {each["name"]: each for each in written(served(baseline, rows(2)))["features"]}
    features["region"]["string_statistics"]["distribution"]["categorical"]["buckets"].pop()
    del features["amount"]["numerical_statistics"]["distribution"]["kll"]["sketch"]
    assert sketch_of(features["region"], baseline.columns["region"]) is None
    assert sketch_of(features["amount"], baseline.columns["amount"]) is None
    assert sketch_of(features["owner"], baseline.columns["amount"]) is None


def test_a_sketch_gives_its_rows_to_the_bins_of_the_baseline(baseline: Baseline) -> None:
    before = baseline.columns["amount"]
    common = {"num_present": 7, "num_missing": 2}
    data = [[before.least - 1.0], [10.0], [before.most + 2.0]]  # type: ignore[union-attr]
    figures = {"common": common, "min": 0.0, "max": 99.0, "distribution": {"kll": {"sketch": {"data": data}}}}
    now = sketch_of({"numerical_statistics": figures}, before)
    assert isinstance(now, NumberSketch)
    assert (now.present, now.missing, now.below, now.counts[-1]) == (7, 2, 1, 4)
    assert now.short == pytest.approx(1.0)
    assert now.over == pytest.approx(8.0)


def broken_statistics(folder: Path) -> None:
    (folder / "statistics.json").write_text('{"features": [{"no": "name"}]}')


def no_json(folder: Path) -> None:
    (folder / "constraint_violations.json").write_text("{")


def a_list(folder: Path) -> None:
    (folder / "statistics.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_statistics, r"statistics\.json of columns has another format: KeyError\('name'\)"),
        (no_json, r"data/constraint_violations\.json is no JSON"),
        (a_list, r"data/statistics\.json: given list; allowed is an object"),
    ],
)
def test_a_result_of_another_format_is_refused(job: Job, spoil: Callable[[Path], None], message: str) -> None:
    job.found("data")
    spoil(job.kinds["data"])
    with pytest.raises(BadResults, match=message):
        job.run()


def test_there_must_be_a_result(job: Job) -> None:
    with pytest.raises(BadArguments, match="results: none are given; allowed is at least one of data, quality, bias"):
        job.run()


def test_the_worst_of_a_family_without_a_violation_is_zero_and_unknown_where_none_was_measured() -> None:
    results = Results(Baseline({}), {"data": {}})
    assert results.families([], {"drift": {}})["schema"] == {"violations": 0, "worst": 0.0}
    unknown = [Violation("schema", "amount", "data_type_check", "it is broken", None)]
    assert results.families(unknown, {"drift": {}})["schema"] == {"violations": 1, "worst": None}
