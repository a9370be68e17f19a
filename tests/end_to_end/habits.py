"""The features of one group of ``orders``, as the dataset, the history, the online store and the model have them."""

from __future__ import annotations

import base64
import datetime as dt
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.end_to_end.lake import query, table_at
from tests.end_to_end.live import Live, eventually

Features = dict[str, Any]
FEATURES = ("orders_before", "late_share", "in_a_shop")
DEFAULTS: Features = {"orders_before": 0, "late_share": 0.25, "in_a_shop": False}
MAX_AGE = dt.timedelta(minutes=14400)


@dataclass(frozen=True)
class Asked:
    """What the model got of each customer, and for whom there was no record."""

    got: dict[str, Features]
    fell_back: set[str]


@dataclass(frozen=True)
class Habits:
    """Looks at one feature group in all places."""

    live: Live
    group: str

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the newest dataset."""
        folder = self.live.zone("datasets")
        entry = self.live.read_json(max(self.live.uris(f"{folder}index/")))
        found: dict[str, Any] = self.live.read_json(entry["manifest_uri"])
        return found

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the dataset."""
        curated = next(each["location"] for each in self.manifest["tables"] if each["table"].endswith("_features"))
        found: list[dict[str, Any]] = table_at(self.live, curated).to_pylist()
        return found

    @cached_property
    def orders(self) -> dict[str, str]:
        """Order → customer."""
        place = next(
            each["location"] for each in self.manifest["tables"] if each["location"].find("/orders/orders/") > 0
        )
        return {row["order_id"]: row["customer"] for row in table_at(self.live, place).to_pylist()}

    @property
    def customers(self) -> list[str]:
        """Every customer of the dataset, and one that nobody knows."""
        return [*sorted(set(self.orders.values())), "c99"]

    def of_dataset(self) -> dict[str, Features]:
        """Order → features, as they are trained on."""
        return {row["_row_id"]: {name: row[name] for name in FEATURES} for row in self.rows}

    def history(self) -> dict[str, list[tuple[dt.datetime, Features]]]:
        """Customer → moments and features, in order, as the offline store has them; as soon as it has them all."""
        location = self.live.client("sagemaker").describe_feature_group(FeatureGroupName=self.physical)
        place = location["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
        wanted = self.manifest["feature_groups"][self.group]["records"]

        def look() -> list[dict[str, Any]] | None:
            if not self.live.uris(place):
                return None
            found: list[dict[str, Any]] = table_at(self.live, place).to_pylist()
            return found if len({(row["customer"], row["known_at"]) for row in found}) == wanted else None

        told: dict[str, list[tuple[dt.datetime, Features]]] = {}
        for row in eventually(look, f"{wanted} records in the history", seconds=30):
            moment = dt.datetime.fromisoformat(row["known_at"])
            told.setdefault(row["customer"], []).append((moment, _typed(row)))
        return {customer: sorted(moments, key=lambda each: each[0]) for customer, moments in told.items()}

    def of_rows_by(self, history: dict[str, list[tuple[dt.datetime, Features]]]) -> dict[str, Features]:
        """Order → features, by looking each order up in the history at its own time."""
        return {
            row["_row_id"]: _known(history.get(self.orders[row["_row_id"]], []), row["_event_time"])
            for row in self.rows
        }

    def known(self, customer: str, as_of: str) -> Features:
        """The features of a customer at an instant, by the history."""
        return _known(self.history().get(customer, []), dt.datetime.fromisoformat(as_of))

    def is_default(self, customer: str, as_of: str) -> bool:
        """Whether there is no record of a customer that is young enough."""
        moment = dt.datetime.fromisoformat(as_of)
        return not any(known <= moment <= known + MAX_AGE for known, _ in self.history().get(customer, []))

    @staticmethod
    def newest(history: dict[str, list[tuple[dt.datetime, Features]]]) -> dict[str, Features]:
        """Customer → features of the last moment."""
        return {customer: moments[-1][1] for customer, moments in history.items()}

    def count_by_query(self, year: str, month: str) -> int:
        """How many records of a month Athena finds in the history's table; one that was put twice counts once."""
        settings = self.live.settings
        table = f"{settings.stage}_curated.{settings.workload}_{self.group}"
        counted = f"SELECT count(DISTINCT concat(customer, known_at)) FROM {table}"  # noqa: S608 - names of our own
        return int(query(self.live, f"{counted} WHERE year = '{year}' AND month = '{month}'")[0][0])

    def online(self) -> dict[str, Features]:
        """Customer → features, as the online store has them."""
        runtime = self.live.client("sagemaker-featurestore-runtime")
        asked = [{"FeatureGroupName": self.physical, "RecordIdentifiersValueAsString": self.customers}]
        found = {}
        for record in runtime.batch_get_record(Identifiers=asked)["Records"]:
            texts = {item["FeatureName"]: item["ValueAsString"] for item in record["Record"]}
            typed = {
                "orders_before": int(texts["orders_before"]),
                "late_share": float(texts["late_share"]),
                "in_a_shop": texts["in_a_shop"] == "1",
            }
            found[record["RecordIdentifierValueAsString"]] = typed
        return found

    def ask(self, as_of: str) -> Asked:
        """Ask for a prediction for every customer; the amount says which one is which in what the endpoint captured."""
        settings = self.live.settings
        stack = f"{settings.stage}-{settings.workload.capitalize()}Workload"
        outputs = self.live.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        function = next(each["OutputValue"] for each in outputs if each["OutputKey"] == "OnlinePredictionFunctionName")
        marks = {
            float(f"{number}.{zlib.crc32(as_of.encode()) % 10**6:06}"): each
            for number, each in enumerate(self.customers)
        }
        instances = [
            {"customer": customer, "amount": mark, "items": 2, "channel": "web", "region": "north"}
            for mark, customer in marks.items()
        ]
        payload = json.dumps({"instances": instances, "as_of": as_of})
        answered = self.live.client("lambda").invoke(FunctionName=function, Payload=payload)
        answer = json.loads(answered["Payload"].read())
        assert "FunctionError" not in answered, answer
        assert len(answer["predictions"]) == len(instances)
        fell_back = {self.customers[fallback["instance"]] for fallback in answer["fallbacks"]}

        def look() -> dict[str, Features] | None:
            seen = [each for each in self._captured() if each["amount"] in marks]
            return {marks[each["amount"]]: {name: each[name] for name in FEATURES} for each in seen}

        return Asked(eventually(look, "the captured request", seconds=30), fell_back)

    def _captured(self) -> list[dict[str, Any]]:
        instances = []
        for uri in self.live.uris(f"{self.live.zone('artefacts')}capture/"):
            for line in self.live.read(uri).splitlines():
                given = json.loads(line)["captureData"]["endpointInput"]
                text = base64.b64decode(given["data"]) if given["encoding"] == "BASE64" else given["data"]
                instances += json.loads(text)["instances"]
        return instances

    @property
    def physical(self) -> str:
        """The group's physical name."""
        settings = self.live.settings
        return f"{settings.stage}-{settings.workload}-{self.group.replace('_', '-')}"


def _typed(row: dict[str, Any]) -> Features:
    return {name: bool(row[name]) if name == "in_a_shop" else row[name] for name in FEATURES}


def _known(moments: list[tuple[dt.datetime, Features]], at: dt.datetime) -> Features:
    before = [(moment, features) for moment, features in moments if moment <= at]
    return before[-1][1] if before and at - before[-1][0] <= MAX_AGE else DEFAULTS
