"""The figures of deliveries are read from CloudWatch as the function publishes them."""

from pathlib import Path
from typing import Any

from constructs_lib.names import metrics
from local.deliveries import Deliveries, delivery_lines, read_deliveries
from local.settings import Settings


def publish(server: Any, workload: str, figures: list[tuple[str, float]]) -> None:
    dimensions = [{"Name": name, "Value": value} for name, value in metrics.dimensions("dev", workload).items()]
    data = [{"MetricName": name, "Value": value, "Dimensions": dimensions} for name, value in figures]
    server.client("cloudwatch").put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data)


def told(server: Any, settings: Settings) -> dict[str, str]:
    return {line.thing: line.detail for line in delivery_lines(settings, server)}


def test_figures_are_those_of_the_workload_alone(local_server: Any, tmp_path: Path) -> None:
    good = [(metrics.DELIVERIES, 1.0), (metrics.DELIVERIES_FAILED, 0.0)]
    publish(local_server, "counted", [*good, (metrics.LEAD_TIME, 100.0)])
    publish(local_server, "counted", [*good, (metrics.LEAD_TIME, 300.0)])
    publish(local_server, "counted", [(metrics.DELIVERIES, 1.0), (metrics.DELIVERIES_FAILED, 1.0)])
    publish(local_server, "counted", [(metrics.DELIVERIES, 1.0), (metrics.DELIVERIES_FAILED, 0.0)])
    publish(local_server, "counted", [(metrics.TIME_TO_RESTORE, 7200.0)])
    publish(local_server, "another", good)
    settings = Settings(tmp_path, "dev", "counted")
    assert read_deliveries(settings, local_server) == Deliveries(4, 1, 200.0, 7200.0)
    assert told(local_server, settings) == {
        "deployment frequency": "3 in the last 28 days",
        "lead time": "200 s on average",
        "change failure rate": "25% of 4",
        "time to restore": "2.0 h on average",
    }


def test_says_where_there_is_nothing_yet(local_server: Any, tmp_path: Path) -> None:
    assert told(local_server, Settings(tmp_path, "dev", "nothing_yet")) == {
        "deployment frequency": "0 in the last 28 days",
        "lead time": "nothing was deployed",
        "change failure rate": "nothing was deployed",
        "time to restore": "nothing had to be restored",
    }
