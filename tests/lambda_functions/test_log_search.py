"""Lines of logs become documents, none is lost on the way, and the domain is told who may see them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from set_log_access.handler import Settings, set_access
from set_log_access.wanted import security_requests
from unpack_logs import handler as unpacking
from unpack_logs.handler import Event, Record, documents_of, packed, unpack

STREAM = "arn:aws:firehose:us-east-1:000000000000:deliverystream/dev-orders-logs"


class Firehose:
    """Takes documents, and refuses some as often as it is told."""

    def __init__(self, refusals: int = 0) -> None:
        self.put: list[dict[str, Any]] = []
        self.refusals = refusals

    def put_record_batch(self, DeliveryStreamName: str, Records: list[dict[str, bytes]]) -> dict[str, Any]:
        assert DeliveryStreamName == "dev-orders-logs"
        answers: list[dict[str, str]] = []
        for record in Records:
            if self.refusals:
                self.refusals -= 1
                answers.append({"ErrorCode": "ServiceUnavailableException"})
            else:
                self.put.append(json.loads(record["Data"]))
                answers.append({"RecordId": "1"})
        return {"RequestResponses": answers}


def record(*lines: str, kind: str = "DATA_MESSAGE") -> Record:
    events = [{"id": str(n), "timestamp": 1_767_225_600_000 + n, "message": line} for n, line in enumerate(lines)]
    message = {"messageType": kind, "logGroup": "group", "logStream": "stream", "logEvents": events}
    return {"recordId": "r1", "data": base64.b64encode(gzip.compress(json.dumps(message).encode())).decode()}


def decoded(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(answer["data"]))
    return found


# --- lines -----------------------------------------------------------------------------------------------------------


def test_every_line_becomes_a_document_once() -> None:
    firehose = Firehose()
    answer = unpack(firehose, "dev-orders-logs", record("one", "two", "three"))
    assert answer["result"] == "Ok"
    assert [decoded(answer)["message"], *(each["message"] for each in firehose.put)] == ["one", "two", "three"]
    assert decoded(answer)["@timestamp"] == "2026-01-01T00:00:00.000+00:00"


def test_what_was_put_on_the_stream_passes_through() -> None:
    firehose = Firehose()
    document = base64.b64encode(b'{"message": "two"}').decode()
    answer = unpack(firehose, "dev-orders-logs", {"recordId": "r2", "data": document})
    assert answer == {"recordId": "r2", "result": "Ok", "data": document}
    assert firehose.put == []


def test_structured_lines_keep_their_fields_and_what_is_asked_for_most() -> None:
    line = json.dumps({"message": "done", "level": "INFO", "run_id": "r-7", "rows": 9})
    (document,) = documents_of({**message_of(record(line))})
    assert (document["message"], document["level"], document["run_id"]) == ("done", "INFO", "r-7")
    assert document["fields"]["rows"] == 9
    (plain,) = documents_of(message_of(record("[1, 2]")))
    assert (plain["message"], "fields" in plain) == ("[1, 2]", False)


def message_of(given: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(given["data"])))
    return found


def test_refused_documents_are_put_again() -> None:
    firehose = Firehose(refusals=3)
    assert unpack(firehose, "dev-orders-logs", record("one", "two", "three"))["result"] == "Ok"
    assert sorted(each["message"] for each in firehose.put) == ["three", "two"]


@pytest.mark.parametrize("given", [record("one", "two"), {"recordId": "r1", "data": "H4sIAAAA"}])
def test_a_record_that_was_not_unpacked_is_handed_back_whole(given: Record) -> None:
    answer = unpack(Firehose(refusals=99), "dev-orders-logs", given)
    assert (answer["result"], answer["data"]) == ("ProcessingFailed", given["data"])


def test_a_message_without_lines_is_dropped() -> None:
    assert unpack(Firehose(), "dev-orders-logs", record("ping", kind="CONTROL_MESSAGE"))["result"] == "Dropped"


def test_a_call_puts_no_more_than_firehose_takes() -> None:
    parts = list(packed([b"x"] * 1000 + [b"y" * 2_000_000] * 2))
    assert [len(part) for part in parts] == [400, 400, 201, 1]


def test_the_function_answers_for_every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    firehose = Firehose()
    monkeypatch.setattr(unpacking, "client", lambda _service: firehose)
    event: Event = {"deliveryStreamArn": STREAM, "records": [record("one", "two"), record("three")]}
    assert [each["result"] for each in unpacking.handler(event, None)["records"]] == ["Ok", "Ok"]
    assert len(firehose.put) == 1


# --- access ----------------------------------------------------------------------------------------------------------

PEOPLE: Any = {
    "ml_engineer": {"role": "arn:aws:iam::0:role/engineers", "access": "search"},
    "auditor": {"role": "arn:aws:iam::0:role/auditors", "access": "see"},
}
SETTINGS = Settings(
    endpoint="search.example.com",
    names='["dev-orders-logs"]',
    roles="arn:aws:iam::0:role/",
    people=json.dumps(PEOPLE),
    by_name="false",
    days="30",
    copies="1",
)


class Domain:
    """Keeps what it is told, as the plugins do: a policy is only replaced by whoever names its version."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.version = 0

    def __call__(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        path, _, version = path.partition("?")
        there = self.told.get(path)
        if method == "GET":
            policy = {**there["policy"], "policy_id": "x"} if there is not None else None
            return None if policy is None else {"policy": policy, "_seq_no": self.version, "_primary_term": 1}
        if "_ism" in path:
            assert version == ("" if there is None else f"if_seq_no={self.version}&if_primary_term=1")
            self.version += 1
        self.told[path] = body
        return {}


def test_tells_who_writes_who_searches_and_when_indices_go() -> None:
    domain = Domain()
    set_access(domain, SETTINGS)
    security = "/_plugins/_security/api/"
    assert domain.told[f"{security}rolesmapping/gapless_delivery"]["backend_roles"] == [
        "arn:aws:iam::0:role/dev-orders-logs-delivery"
    ]
    (searching,) = domain.told[f"{security}roles/gapless_ml_engineer"]["index_permissions"]
    assert searching == {"index_patterns": ["dev-orders-logs-*"], "allowed_actions": ["read", "search"]}
    (seeing,) = domain.told[f"{security}roles/gapless_auditor"]["index_permissions"]
    assert seeing["allowed_actions"] == ["indices_monitor"]
    opening = domain.told[f"{security}rolesmapping/opensearch_dashboards_user"]["backend_roles"]
    assert opening == ["arn:aws:iam::0:role/engineers"]
    states = domain.told["/_plugins/_ism/policies/gapless-retention"]["policy"]["states"]
    assert states[0]["transitions"][0]["conditions"] == {"min_index_age": "30d"}
    template = domain.told["/_index_template/gapless-logs"]["template"]
    assert template["mappings"]["properties"]["fields"] == {"type": "flat_object"}


def test_the_retention_is_replaced_only_when_it_is_another_one() -> None:
    domain = Domain()
    set_access(domain, SETTINGS)
    set_access(domain, SETTINGS)
    assert domain.version == 1
    set_access(domain, Settings(**{**vars(SETTINGS), "days": "7"}))
    assert domain.version == 2
    policy = domain.told["/_plugins/_ism/policies/gapless-retention"]["policy"]
    assert policy["states"][0]["transitions"][0]["conditions"] == {"min_index_age": "7d"}


def test_a_single_sign_on_tells_personas_by_name() -> None:
    requests = dict(security_requests(["i-*"], [], PEOPLE, by_name=True))
    mapped = requests["/_plugins/_security/api/rolesmapping/gapless_auditor"]["backend_roles"]
    assert mapped == ["arn:aws:iam::0:role/auditors", "auditor"]
