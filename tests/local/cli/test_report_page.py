"""The report: structure, escaping, and that it needs nothing but itself."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from local.chain import Chain
from local.failures import Explanation
from local.report.content import Content
from local.report.lineage import build_graph
from local.report.page import render_page
from local.report.pipelines import bars
from local.report.sizing import sizes
from local.runs.read import Run
from local.sizing.things import Cost
from tests.local.cli.report_fixture import (
    any_chain,
    any_content,
    any_evaluation,
    any_profile,
    any_runs,
    any_sizes,
    execution,
)

DASH = "\N{EN DASH}"
_VOID = {"meta", "link", "br", "img", "hr", "input", "rect", "path", "use"}


class _Page(HTMLParser):
    """Collects what the tests ask for, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tables = 0
        self.captions = 0
        self.unlabelled: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"href", "src", "xlink:href"} and value]
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if found.get("role") in {"img", "region"} and not found.get("aria-label"):
            self.unlabelled.append(tag)
        if tag == "th" and "scope" not in found:
            self.unlabelled.append(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    return render_page(any_content())


@pytest.fixture(scope="module")
def page(html: str) -> _Page:
    return _Page(html)


def test_files_with_other_columns_are_shown_with_what_was_done() -> None:
    content = any_content()
    assert content.report is not None
    entry = {
        "source": "flights",
        "file": "april/<b>.csv",
        "kind": "retyped",
        "column": "dep_time",
        "expected": "int",
        "observed": "double",
        "policy": "quarantine_rows",
        "rows": 12,
        "reads": 0.25,
    }
    found = content.report["phases"]["validation"]
    assert "Every file has the declared columns." in " ".join(_Page(render_page(content)).texts)
    found["drift"] = {"count": 7, "alarming": 7, "entries": [entry]}
    texts = _Page(render_page(content)).texts
    assert "Files with other columns than declared (the first 1 of 7)" in texts
    assert {"april/<b>.csv", "retyped dep_time", "int", "double", "25.00%", "quarantine rows", "12"} <= set(texts)


def test_every_tag_is_closed(page: _Page) -> None:
    assert page.open == []


def test_needs_nothing_but_itself(html: str, page: _Page) -> None:
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link", html)


def test_ids_are_unique_but_for_shapes_that_charts_share(page: _Page) -> None:
    anchors = [name for name in page.ids if not re.fullmatch(r"[mp][0-9a-f]{10}", name)]
    assert len(anchors) == len(set(anchors))


def test_links_lead_to_parts_that_exist(page: _Page) -> None:
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_every_table_has_a_caption_and_every_picture_a_label(page: _Page) -> None:
    assert page.tables == page.captions > 10
    assert page.unlabelled == []


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) > 5
    assert not re.search(r"#[0-9a-f]{6}", "".join(drawings))


def test_escapes_what_comes_from_data(html: str, page: _Page) -> None:
    assert "<b>noon</b>" not in html
    assert "dep_time: not an int: '<b>noon</b>'" in page.texts


def test_shows_rows_reasons_rules_metrics_and_gate(page: _Page) -> None:
    text = " ".join(page.texts)
    for wanted in (
        "113,119 rows came in",
        "duplicate of row 17",
        "RowCount > 100",
        "RowCount is 12",
        "0.7712",
        "0.7654",
        "auc at least",
    ):
        assert wanted in text


def test_shows_what_the_profile_warns_of_and_what_has_changed(html: str, page: _Page) -> None:
    text = " ".join(page.texts)
    for wanted in (
        "wind_gust has no value in any row",
        "Compared with the dataset beef000000 of 2013-04-01: 80,000 rows then and 106,900 now",
        "carrier has moved",
        "<b>new</b>, N0, N1, N2, N3 and 5 more",
        "distance, carrier: 0.314",
        "Left out: wind_gust.",
    ):
        assert wanted in text
    assert "<b>new</b>" not in html


def test_shows_where_splits_begin_in_the_target_over_time(html: str) -> None:
    caption = html.index("How often arrives_late holds over time")
    assert " validation</text>" in html[caption - 200 : html.index("</figure>", caption)]


@pytest.mark.parametrize(
    ("comparison", "told"),
    [
        (None, "There is no earlier dataset to compare with."),
        (
            {"version": "beef", "as_of": "2013-04-01T04:00:00Z", "unavailable": "its profile is gone", "warnings": []},
            "Not compared with the dataset beef of 2013-04-01: its profile is gone.",
        ),
    ],
)
def test_says_why_nothing_is_compared(comparison: dict[str, Any] | None, told: str) -> None:
    profile = {**any_profile(), "comparison": comparison}
    assert told in _Page(render_page(any_content(profile=profile))).texts


def test_a_profile_of_an_earlier_release_is_told_as_such() -> None:
    page = _Page(render_page(any_content(profile={"rows": 1})))
    assert "The dataset was profiled by an earlier release." in page.texts


def test_a_dataset_of_one_instant_has_a_page() -> None:
    profile = any_profile()
    profile["target"]["over_time"] = {"edges": ["2013-01-01T00:00:00Z"] * 2, "rows": [9], "positives": [1]}
    profile["pairs"] = []
    page = _Page(render_page(any_content(profile=profile)))
    assert page.open == []


def test_shows_how_sure_the_figures_are_and_what_slices_say(html: str, page: _Page) -> None:
    text = " ".join(page.texts)
    for wanted in (
        "0.7601 to 0.7823",
        "DeLong",
        "0.0011 to 0.0105",
        "90 % interval",
        "origin: <b>EWR</b>",
        "too few rows",
    ):
        assert wanted in text
    assert "Calibration error 0.0123 on average of 14 groups; slope 0.970" in text
    assert "<b>EWR</b>" not in html


_CURVE = {"predicted": [1.0, 8.0], "observed": [2.0, 7.0], "count": [5, 5]}
_CALIBRATION = {"error": 1.0, "groups": 2, "slope": None, "intercept": None}


@pytest.mark.parametrize(
    ("problem", "metrics", "curves", "told"),
    [
        (
            "multiclass_classification",
            {"mcc": 0.5, "accuracy": 0.7},
            {"confusion": {"classes": ["<i>", "b"], "rows": [[4, 1], [2, 3]]}, "calibration": _CURVE},
            ("Rows of each class by what they were taken for", "Matthews correlation on held-back rows"),
        ),
        (
            "regression",
            {"r2": 0.5, "rmse": 2.5},
            {"errors": {"edges": [-1.0, 0.0, 1.0], "rows": [4, 6]}, "calibration": _CURVE},
            ("error (predicted minus true)", "Variance explained (R²) on held-back rows"),
        ),
        (
            "clustering",
            {"mean_distance": 0.5, "rms_distance": 0.6, "clusters": 3.0, "smallest_share": 0.1},
            {"clusters": {"rows": [4, 0, 6]}},
            ("How many held-back rows each cluster has", "Mean distance to the centre"),
        ),
        (
            "projection",
            {"mean_error": 0.5, "root_mean_error": 0.7},
            {"errors": {"edges": [0.0, 1.0], "rows": [10]}},
            ("squared error", "Root mean square error of the reconstruction"),
        ),
    ],
)
def test_every_problem_has_a_page(problem: str, metrics: Any, curves: Any, told: tuple[str, ...]) -> None:
    evaluation = {
        **{name: value for name, value in any_evaluation().items() if name != "positives"},
        "problem": problem,
        "metric": next(iter(metrics)),
        "metrics": metrics,
        "intervals": {},
        "champion": None,
        "calibration": _CALIBRATION if "calibration" in curves else None,
        "slices": [],
    }
    html = render_page(any_content(evaluation=evaluation, evaluation_details={"curves": curves}))
    page = _Page(html)
    assert page.open == []
    assert page.unlabelled == []
    assert "<i>" not in html
    for wanted in told:
        assert wanted in html
    assert "There was no champion to compare with." in html


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            {"name": "price", "shown": "price is above its median, 3", "positives": 50_000, "share": 0.5},
            "price is above its median, 3 in 50.0% of the rows",
        ),
        (
            {"name": "town", "shown": "town is <i>", "positives": 50_000, "share": 0.5, "classes": 7},
            "7 classes are told apart from each other",
        ),
        ({"name": None, "shown": None, "positives": 0, "share": None}, "3 features; there is no target."),
    ],
)
def test_a_profile_tells_of_any_target(target: dict[str, Any], told: str) -> None:
    profile = any_profile()
    html = render_page(any_content(profile={**profile, "target": {**profile["target"], **target}}))
    assert told in html
    assert "<i>" not in html


def test_equal_content_gives_an_equal_page(html: str) -> None:
    assert render_page(any_content()) == html


def test_a_run_that_has_not_begun_is_told_as_such() -> None:
    page = _Page(render_page(Content("flight_delays", "dev", Chain("0123456789abcdef-1", (), None))))
    text = " ".join(page.texts)
    assert page.open == []
    for wanted in (
        "Nothing has run yet",
        "has not prepared a dataset",
        "has not evaluated a model",
        "Nothing has been deployed",
    ):
        assert wanted in text


def test_a_failure_is_told_at_the_top() -> None:
    failure = Explanation("data", "PrepareDataset", "BadSchema", "flights lacks <dep_time>", "jr_1")
    html = render_page(any_content(), failure)
    assert 'role="alert"' in html
    assert html.index("flights lacks &lt;dep_time&gt;") < html.index('id="pipelines"')


def test_the_timeline_shows_pipelines_and_their_longer_states() -> None:
    labels = [bar.label.strip() for bar in bars(any_chain())]
    assert labels[:3] == ["loop", "RunData", "RunModel"]
    assert "PublishDataset" not in labels


def test_the_timeline_marks_a_failed_pipeline() -> None:
    chain = Chain("0123456789abcdef-1", (execution("data", 0, 3, [], status="FAILED"),), None)
    assert [bar.failed for bar in bars(chain)] == [True]


def test_lineage_leads_from_every_landed_object_to_the_endpoint() -> None:
    graph = build_graph(any_content())
    for node in graph.nodes:
        if node.column != "landed":
            continue
        reached, before = {node.key}, set[str]()
        while reached != before:
            before = set(reached)
            reached |= {end for start, end in graph.edges if start in reached}
        assert "endpoint" in reached


def test_the_evaluation_s_own_report_is_framed_and_cut_off(html: str) -> None:
    framed = "&lt;!doctype html&gt;&lt;title&gt;&quot;Bias&quot; &amp; cost&lt;/title&gt;"
    assert f'<iframe title="Evaluation" sandbox srcdoc="{framed}"></iframe>' in html
    assert "<iframe" not in render_page(any_content(evaluation_page=None))


# --- sizes and costs --------------------------------------------------------------------------------------------------


def sizes_of(**others: Any) -> str:
    """The texts of the part about sizes."""
    texts = _Page(sizes(any_content(**others)).text).texts
    return " ".join(text.strip() for text in texts if text.strip())


def test_says_first_what_to_try_and_what_it_would_cost() -> None:
    text = sizes_of()
    first, _, rest = text.partition("Everything else that has a size (2)")
    assert "What to try (2 of 4)" in first
    assert "job train 1 x ml.m5.xlarge 3 9.00% 21.00% Less: neither" in first
    assert "try ml.m5.large 0.230 an hour 0.115 an hour" in first
    assert f"function StarterFunction 256 MB 70 {DASH} 91.00% More: 91% is used: try <b>320</b> MB" in first
    assert "Glue job prepare 2 x G.1X 3 no figure 2.00% No figure: nobody measured how many workers" in rest
    assert f"endpoint primary 2 x ml.m5.large {DASH} 50.00% 10.00% Nothing: processors or memory" in rest
    assert f"167.90 a month {DASH}" in rest


def test_puts_beside_it_what_is_paid_while_nothing_happens_and_what_a_run_has_cost() -> None:
    assert "the endpoint costs 167.90 USD a month. No run has recorded what its jobs cost." in sizes_of()
    run = any_runs()[0]
    for estimate, told in (("0.0123", "would have cost 0.0123 USD on AWS"), ("none", "have no estimate")):
        recorded = Run(run.run_id, {**run.record, "cost_usd_estimate": estimate})
        assert f"The jobs of run first-1 {told}" in sizes_of(runs=[recorded])
    assumed = {**run.record, "cost_usd_estimate": "0.5", "cost_assumption": "as processing"}
    assert "0.5000 USD on AWS (assumed: as processing)." in sizes_of(runs=[Run(run.run_id, assumed)])


def test_a_price_that_no_source_gives_is_not_made_up() -> None:
    *others, endpoint, function = any_sizes()
    unpriced = replace(endpoint, cost=Cost(None, None, "month"))
    text = sizes_of(sizes=(*others, unpriced, function))
    assert "the endpoint costs what no source gives a price of" in text
    assert "There is no endpoint that is paid for" in sizes_of(sizes=others)
    assert "Nothing of the workload has run or is deployed." in sizes_of(sizes=())


def test_commands_do_not_wait_for_what_draws_and_for_what_reads_workload_files() -> None:
    slow = {"matplotlib", "numpy", "pandas", "pyarrow", "pydantic"}
    code = f"import sys, local.cli; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
