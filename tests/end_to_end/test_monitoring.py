"""What the endpoint served is compared with the dataset behind its model, by the deployed machine."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from constructs_lib.names import metrics
from local.chain import Chain
from tests.end_to_end.live import Live, eventually
from tests.end_to_end.served import look, records, rows_of, serve, tell

ROWS = 240


@pytest.fixture(scope="module")
def rows(everything: Live, march: Chain) -> list[dict[str, Any]]:
    """Rows of the dataset, as requests."""
    return rows_of(everything, march, ROWS)


def test_what_was_served_is_compared_reported_and_counted(everything: Live, rows: list[dict[str, Any]]) -> None:
    quiet = look(everything, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    assert (quiet["status"], quiet["window"]) == ("nothing served", "2023/12/31/23")

    begun = dt.datetime.now(dt.UTC)
    names = serve(everything, [{**row, "amount": (row["amount"] or 0.0) * 20 + 500} for row in rows])
    tell(everything, {name: row["late"] for name, row in zip(names, rows, strict=True)})

    found = look(everything, begun + dt.timedelta(hours=1))
    assert found["status"] == "monitored"
    families = json.loads(found["families"])
    assert families["drift"]["violations"] >= 1
    assert "amount" in {each["column"] for each in json.loads(found["violations"])}
    assert families["quality"]["worst"] is not None
    page = everything.read(found["report_uri"]).decode()
    assert "amount has moved" in page
    statistics = everything.read_json(found["report_uri"].replace("report.html", "statistics.json"))
    assert statistics["dataset"]["item_count"] == int(found["rows"]) >= ROWS

    told = everything.client("cloudwatch").get_metric_statistics(
        Namespace=metrics.NAMESPACE,
        MetricName=metrics.of_family("drift")[0],
        Dimensions=[
            {"Name": name, "Value": value}
            for name, value in metrics.dimensions(everything.settings.stage, everything.workload).items()
        ],
        StartTime=begun - dt.timedelta(minutes=5),
        EndTime=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
        Period=3600,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert max(each["Maximum"] for each in told) >= 1

    def declined() -> list[dict[str, str]]:
        runs = records(everything, "loop#")
        return [each for each in runs if each.get("trigger") == "drift" and each["status"] != "failed"]

    (asked, *_) = eventually(declined, "the decision on what the alarm asks for", seconds=180)
    assert asked["outcome"] == "did not retrain"
    assert "0 new labelled rows of at least 100" in asked["decision"]
