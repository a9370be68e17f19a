"""The data machine: turns a landed batch into a published dataset.

Input: ``{"run_id", "workload", "batch_uri", "as_of", "bundle": {"bundle", "uri", "commit"}}``, or that of a replay.
Output: ``{"dataset": <the published manifest>, "phases": <each phase's figures, empty when it was published before>}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from constructs_lib.asl import (
    FAILURE_STATE,
    JSON,
    UNNAMED_S3,
    Catch,
    State,
    attempt,
    choice,
    for_each,
    go_to,
    jsonata,
    kept,
    machine,
    now_seconds,
    parallel,
    raise_again,
    redrives,
    remember,
    retries,
    succeed,
    task,
    wait,
)
from constructs_lib.machines import replay
from constructs_lib.machines.accumulation import parent_changed, register_days, still_newest
from constructs_lib.machines.common import (
    CALL_SECONDS,
    HOUR,
    MINUTE,
    Surroundings,
    failure_states,
    find_object,
    get_json,
    own_failure,
    put_metrics,
    run_record,
    text,
)
from constructs_lib.machines.feature_ingestion import IngestionParts, ingestion_states
from constructs_lib.machines.no_code import FeatureRun, make_features
from constructs_lib.names import metrics
from constructs_lib.names.naming import table_name

FINAL_ERRORS = (
    "BadBatch",
    "BadBundle",
    "BadFeatures",
    "BadParent",
    "BadRecords",
    "BadRules",
    "BadSchema",
    "BadVersion",
    "QuarantineLimitExceeded",
    "RowsLost",
    "RuleFailed",
    "SourceEmpty",
    "TooFewRows",
    *replay.FINAL_ERRORS,
)
"""Errors that lie in the batch: trying again would meet them again."""

_CRAWL_MINUTES = 20
_QUEUE_SECONDS = 15 * MINUTE


@dataclass(frozen=True)
class DataParts:
    """Names what the data machine works with; every value may be a token.

    Args:
        check_batch_arn: The function that checks a batch before anything is paid for.
        job_name: The Glue job that prepares datasets.
        job_minutes: The job's own time limit.
        crawler_name: The crawler of the landing zone.
        contract_uri: The workload's contract, ``s3://…``.
        contract_digest: SHA-256 of the contract, as manifests have it.
        bundles_uri: The folder of the workload's bundles, ``s3://…/``.
        engine: Names the job's code and engine; part of a dataset's version.
        buckets: Zone (``validated``, ``quarantine``, ``curated``, ``datasets``) to bucket.
        databases: Zone (``validated``, ``quarantine``, ``curated``) to catalogue database.
        max_quarantined_share: The largest share of rows that may be quarantined, between 0 and 1.
        accumulates: Whether a batch is added to the dataset before it. Default: it stands alone.
        ingestion: How the records of feature groups are put into the Feature Store. Default: there are no groups.
        warehouse_machine_arn: Loads what is published into the warehouse. Default: nobody does.
        views_job_name: The Glue job that adds what is published to the Iceberg table. Default: there is none.
        features: What makes the features between two runs of the job. Default: the job does, in one run.
        relabels: Whether people label served rows, and their answers go into datasets. Default: they do not.
    """

    check_batch_arn: str
    job_name: str
    job_minutes: int
    crawler_name: str
    contract_uri: str
    contract_digest: str
    bundles_uri: str
    engine: str
    buckets: Mapping[str, str]
    databases: Mapping[str, str]
    max_quarantined_share: float
    accumulates: bool = False
    ingestion: IngestionParts | None = None
    warehouse_machine_arn: str | None = None
    views_job_name: str | None = None
    features: FeatureRun | None = None
    relabels: bool = False


def data_machine(s: Surroundings, p: DataParts) -> State:
    """Returns the definition."""
    return machine(
        f"Turns a landed batch of {s.workload} into a published dataset",
        {
            "Begin": choice([(replay.WANTED, "FindOriginal")], default="CheckBatch"),
            "CheckBatch": check_batch(p),
            "FindDataset": find_dataset(s, p),
            "AlreadyPublished": choice([("$published", "ReadPublished")], default="Ingest"),
            "Ingest": parallel(
                catalogue_landing(s, p),
                prepare_dataset(s, p),
                assign={"attempt": jsonata("$states.result[1].attempt")},
            ),
            "ReadReport": read_report(s, p),
            "PublishMetrics": publish_metrics(s),
            "SchemaDrift": remember({"drift_figures": jsonata("$phases.validation.drift")}),
            "Validation": validation(p),
            "Exploration": show_phase("exploration"),
            "Cleaning": show_phase("cleaning"),
            "Splitting": show_phase("splitting"),
            "ReadCandidate": read_candidate(s, p),
            **(still_newest(p.check_batch_arn, answers=p.relabels) if p.accumulates else {}),
            "PublishDataset": publish_dataset(s, p),
            "ReadPublished": read_published(s, p),
            "IndexDataset": index_dataset(s, p),
            **(ingestion_states(s, p.ingestion) if p.ingestion is not None else {}),
            "RegisterPartitions": register_partitions(p),
            **(_register_days(s, p) if p.accumulates else {}),
            "RecordRun": record_run(s),
            **publish_views(p),
            **load_warehouse(p),
            "Done": succeed({"dataset": jsonata("$manifest"), "phases": jsonata("$phases")}),
            "SourceEmpty": source_empty(),
            "TooManyQuarantined": too_many_quarantined(p),
            "RuleFailed": rule_failed(),
            "RowsLost": rows_lost(),
            "PublishedMeanwhile": published_meanwhile(),
            **({"ParentChanged": parent_changed()} if p.accumulates else {}),
            **(replay_states(s, p) if p.features is None else {"FindOriginal": not_replayed()}),
            **failure_states(s, "data", final=FINAL_ERRORS, resume_at="Begin"),
        },
        timeout=12 * HOUR,
    )


def check_batch(p: DataParts) -> State:
    """Refuses a batch whose files are not there or not what ``_batch.json`` says; names the dataset it makes."""
    return invoke_check(
        p,
        "$states.input",
        {
            "version": jsonata("$states.result.Payload.version"),
            "as_of": jsonata("$states.result.Payload.as_of"),
            **({"parent": jsonata("$states.result.Payload.parent")} if p.accumulates else {}),
            **({"answers_uri": jsonata("$states.result.Payload.answers_uri")} if p.relabels else {}),
            "phases": {},
        },
    )


def invoke_check(p: DataParts, payload: str, assign: Mapping[str, JSON]) -> State:
    """Calls the function that checks a batch.

    Args:
        payload: The JSONata of what it takes.
        assign: Variables to set from what it gives.
    """
    return task(
        "lambda:invoke",
        {"FunctionName": p.check_batch_arn, "Payload": jsonata(payload)},
        timeout=15 * MINUTE,
        assign=assign,
    )


def find_dataset(s: Surroundings, p: DataParts) -> State:
    """Looks for the published manifest of this version: the same inputs and code have made it before."""
    return find_object(s, p.buckets["datasets"], published_key(s), "published")


def catalogue_landing(s: Surroundings, p: DataParts) -> dict[str, State]:
    """Lets the crawler describe what landed, beside the critical path: its failure is counted, and fails nothing."""
    return {
        "StartCrawler": task(
            "aws-sdk:glue:startCrawler",
            {"Name": p.crawler_name},
            timeout=CALL_SECONDS,
            assign={"crawl_deadline": crawl_deadline()},
            catch=[
                Catch(["Glue.CrawlerRunningException"], "WaitForCrawler", {"crawl_deadline": crawl_deadline()}),
            ],
            on_failure="CountFailedCrawl",
            failure="crawl_failure",
        ),
        "WaitForCrawler": wait(30),
        "DescribeCrawler": task(
            "aws-sdk:glue:getCrawler",
            {"Name": p.crawler_name},
            timeout=CALL_SECONDS,
            assign={
                "crawler_state": jsonata("$states.result.Crawler.State"),
                "crawl_status": jsonata("[$states.result.Crawler.LastCrawl.Status, 'NONE'][0]"),
            },
            on_failure="CountFailedCrawl",
            failure="crawl_failure",
        ),
        "CrawlOver": choice(
            [
                ("$crawler_state = 'READY' and $crawl_status = 'SUCCEEDED'", "Crawled"),
                (f"$crawler_state != 'READY' and {now_seconds()} < $crawl_deadline", "WaitForCrawler"),
            ],
            default="CountFailedCrawl",
        ),
        "CountFailedCrawl": put_metrics(
            s, {metrics.CRAWL_FAILED: "1"}, on_failure="NotCrawled", failure="count_failure"
        ),
        "NotCrawled": succeed({"crawled": False}),
        "Crawled": succeed({"crawled": True}),
    }


def crawl_deadline() -> str:
    return jsonata(f"{now_seconds()} + {_CRAWL_MINUTES * MINUTE}")


def prepare_dataset(s: Surroundings, p: DataParts) -> dict[str, State]:
    """Runs the job that reads, validates, cleans, joins and splits, and writes a candidate under its own attempt."""
    arguments = {
        "--batch_uri": jsonata("$states.input.batch_uri"),
        "--bundle_uri": jsonata("$states.input.bundle.uri"),
        "--version": jsonata("$version"),
        "--as_of": jsonata("$as_of"),
        **({"--parent": jsonata("$parent")} if p.accumulates else {}),
        **({"--answers_uri": jsonata("$answers_uri")} if p.relabels else {}),
    }
    return {
        "PrepareDataset": run_job(
            s,
            p,
            arguments,
            assign={"prepared_attempt": jsonata(attempt())},
            on_failure="PreparationFailed",
            failure="preparation_failure",
        ),
        **features_without_code(s, p, arguments),
        "Prepared": succeed({"attempt": jsonata("$prepared_attempt")}),
        "PreparationFailed": raise_again("preparation_failure"),
    }


def features_without_code(s: Surroundings, p: DataParts, arguments: Mapping[str, JSON]) -> dict[str, State]:
    """Lets a recipe or a flow make the features of what the job handed over, and runs the job again with them.

    A batch that the job refuses is not handed over; its report says why.

    Args:
        arguments: What the dataset is made of.
    """
    if p.features is None:
        return {}
    making = make_features(s, p.features, following="TakeFeatures", failed="PreparationFailed")
    return {
        "FindHandover": find_object(
            s,
            p.buckets["datasets"],
            f"'{s.workload}/' & $version & '/attempt=' & $prepared_attempt & '/handover.json'",
            "handed_over",
            on_failure="PreparationFailed",
            failure="preparation_failure",
        ),
        "HandedOver": choice([("$handed_over", next(iter(making)))], default="Prepared"),
        **making,
        "TakeFeatures": run_job(
            s,
            p,
            {**arguments, "--returned_uri": jsonata("$returned_uri")},
            of_attempt="$prepared_attempt",
            on_failure="PreparationFailed",
            failure="preparation_failure",
        ),
    }


def run_job(
    s: Surroundings,
    p: DataParts,
    arguments: Mapping[str, JSON],
    *,
    assign: Mapping[str, JSON] | None = None,
    of_attempt: str | None = None,
    on_failure: str = FAILURE_STATE,
    failure: str = "failure",
) -> State:
    """Runs the Glue job and waits for its end.

    Args:
        arguments: What the dataset is made of: batch, bundle, version and ``as_of``.
        of_attempt: The JSONata of the attempt that the run goes on with. Default: it has one of its own.
        assign, on_failure, failure: As in ``task``.
    """
    locations = {f"--{zone}_uri": f"s3://{bucket}/{s.workload}/" for zone, bucket in p.buckets.items()}
    return task(
        "glue:startJobRun.sync",
        {
            "JobName": p.job_name,
            "Timeout": p.job_minutes,
            "Arguments": {
                **arguments,
                "--contract_uri": p.contract_uri,
                "--attempt": jsonata(of_attempt if of_attempt is not None else attempt()),
                "--engine": p.engine,
                **locations,
            },
        },
        timeout=p.job_minutes * MINUTE + _QUEUE_SECONDS,
        assign=assign,
        on_failure=on_failure,
        failure=failure,
    )


def not_replayed() -> State:
    """Says that features without code are not made again: nobody can hold the services' engines at a version."""
    return own_failure(
        "NotReplayable", "'the features are made by a service whose engine cannot be the one of then for certain'"
    )


def replay_states(s: Surroundings, p: DataParts) -> dict[str, State]:
    """Makes a published dataset again, by the same check and the same job, and compares."""
    arguments = {
        "--batch_uri": jsonata(replay.BATCH_URI),
        "--bundle_uri": jsonata(replay.bundle_uri(p.bundles_uri)),
        "--version": jsonata("$replayed_version"),
        "--as_of": jsonata(replay.AS_OF),
        **({"--parent": jsonata("$replayed_parent")} if p.accumulates else {}),
        **({"--answers_uri": jsonata("$replayed_answers_uri")} if p.relabels else {}),
    }
    return replay.replay_states(
        s,
        bucket=p.buckets["datasets"],
        engine=p.engine,
        contract_digest=p.contract_digest,
        check=invoke_check(
            p,
            replay.check_input(answers=p.relabels),
            {
                "replayed_version": jsonata("$states.result.Payload.version"),
                "replayed_parent": jsonata("$states.result.Payload.parent"),
                **({"replayed_answers_uri": jsonata("$states.result.Payload.answers_uri")} if p.relabels else {}),
            },
        ),
        prepare=run_job(s, p, arguments, assign={"replayed_attempt": jsonata(attempt())}),
    )


def read_report(s: Surroundings, p: DataParts) -> State:
    """Reads what the job found in each phase."""
    return get_json(
        s,
        p.buckets["datasets"],
        f"{candidate_key(s)} & 'report.json'",
        {
            "phases": jsonata("$parse($states.result.Body).phases"),
            "report_uri": jsonata(f"'s3://{p.buckets['datasets']}/' & {candidate_key(s)} & 'report.json'"),
        },
    )


def publish_metrics(s: Surroundings) -> State:
    """Publishes how good the batch was, whether it is accepted or not."""
    figures = "$phases.validation"
    return put_metrics(
        s,
        {
            metrics.ROWS_IN: f"{figures}.rows_in",
            metrics.ROWS_VALIDATED: f"{figures}.rows_validated",
            metrics.ROWS_QUARANTINED: f"{figures}.rows_quarantined",
            metrics.QUARANTINED_SHARE: f"{figures}.quarantined_share",
            metrics.SCHEMA_DRIFT: f"{figures}.drift.alarming",
        },
    )


def validation(p: DataParts) -> State:
    """Refuses a batch that lost rows, had too many quarantined, broke a rule about tables, or left a source empty."""
    figures = "$phases.validation"
    return choice(
        [
            (f"{figures}.rows_in != {figures}.rows_validated + {figures}.rows_quarantined", "RowsLost"),
            (f"{figures}.quarantined_share > {p.max_quarantined_share}", "TooManyQuarantined"),
            (f"$count({broken_rules()}) > 0", "RuleFailed"),
            (f"$count({empty_sources()}) > 0", "SourceEmpty"),
        ],
        default="Exploration",
    )


def broken_rules() -> str:
    """The JSONata of the blocking rules that did not hold."""
    return "$phases.validation.rules[blocking = true and passed = false]"


def empty_sources() -> str:
    """The JSONata of the names of sources of which no row is valid."""
    return "$keys($phases.validation.sources)[$lookup($phases.validation.sources, $).validated = 0]"


def show_phase(phase: str) -> State:
    """Shows the figures of a phase in the execution."""
    return remember({f"{phase}_figures": jsonata(f"$phases.{phase}")})


def read_candidate(s: Surroundings, p: DataParts) -> State:
    """Reads the manifest that the job wrote."""
    return get_json(
        s,
        p.buckets["datasets"],
        f"{candidate_key(s)} & 'manifest.json'",
        {"candidate": jsonata("$parse($states.result.Body)")},
    )


def publish_dataset(s: Surroundings, p: DataParts) -> State:
    """Publishes the manifest by one conditional write: before it, nobody reads the dataset; after it, it never changes.

    Step Functions writes the body as JSON; a text would arrive in quotes.
    """
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": p.buckets["datasets"],
            "Key": jsonata(published_key(s)),
            "Body": jsonata("$candidate"),
            "ContentType": "application/json",
            "IfNoneMatch": "*",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        catch=[Catch(["S3.S3Exception"], "PublishedMeanwhile", kept())],
    )


def published_meanwhile() -> State:
    """Somebody else published this version first, or our own earlier try did: theirs is as good."""
    told = "$lowercase($failure.cause)"
    return choice(
        [(f"$contains({told}, 'pre-condition') or $contains({told}, 'conflict')", "ReadPublished")],
        default="ExplainFailure",
    )


def read_published(s: Surroundings, p: DataParts) -> State:
    """Reads the published manifest, whoever published it."""
    return get_json(
        s,
        p.buckets["datasets"],
        published_key(s),
        {"manifest": jsonata("$parse($states.result.Body)")},
    )


def index_dataset(s: Surroundings, p: DataParts) -> State:
    """Enters the published dataset into the index, in order of ``as_of``; doing it again writes the same entry."""
    entry = "{'version': $version, 'as_of': $as_of, 'manifest_uri': " + f"'s3://{p.buckets['datasets']}/' & "
    entry += published_key(s) + ", 'report_uri': $manifest.report_uri, 'profile_uri': $manifest.profile_uri}"
    return task(
        "aws-sdk:s3:putObject",
        {
            "Bucket": p.buckets["datasets"],
            "Key": jsonata(index_key(s)),
            "Body": jsonata(entry),
            "ContentType": "application/json",
            "ExpectedBucketOwner": s.account,
        },
        timeout=CALL_SECONDS,
        retry_also=UNNAMED_S3,
    )


def register_partitions(p: DataParts) -> State:
    """Points the catalogue at the published files; until now no query sees them."""
    zones = ", ".join(f"{text(zone)}: {text(name)}" for zone, name in p.databases.items())
    tables = "$map($manifest.tables, function($t) { $merge([{'values': [$version]}, $t]) })[]"
    if p.ingestion is not None:
        tables = f"$append({tables}, $history)"
    return for_each(
        f"$map({tables}, function($t) {{ $merge([$t, {{'database': $lookup({{{zones}}}, $t.zone)}}]) }})[]",
        {
            "DescribeTable": task(
                "aws-sdk:glue:getTable",
                {"DatabaseName": jsonata("$states.input.database"), "Name": jsonata("$states.input.table")},
                timeout=CALL_SECONDS,
                assign={"storage": jsonata("$states.result.Table.StorageDescriptor")},
                on_failure="PartitionFailed",
                failure="partition_failure",
            ),
            "CreatePartition": task(
                "aws-sdk:glue:createPartition",
                {**partition(), "PartitionInput": partition_input()},
                timeout=CALL_SECONDS,
                catch=[Catch(["Glue.AlreadyExistsException"], "UpdatePartition")],
                on_failure="PartitionFailed",
                failure="partition_failure",
            ),
            "Registered": succeed(),
            "UpdatePartition": go_to(
                "Registered",
                task(
                    "aws-sdk:glue:updatePartition",
                    {
                        **partition(),
                        "PartitionValueList": jsonata("$states.input.values[]"),
                        "PartitionInput": partition_input(),
                    },
                    timeout=CALL_SECONDS,
                    on_failure="PartitionFailed",
                    failure="partition_failure",
                ),
            ),
            "PartitionFailed": raise_again("partition_failure"),
        },
        at_once=4,
    )


def _register_days(s: Surroundings, p: DataParts) -> dict[str, State]:
    return register_days(s, table_name(s.workload, "features"), p.databases["curated"], p.buckets["datasets"])


def partition() -> dict[str, str]:
    return {"DatabaseName": jsonata("$states.input.database"), "TableName": jsonata("$states.input.table")}


def partition_input() -> dict[str, object]:
    return {
        "Values": jsonata("$states.input.values[]"),
        "StorageDescriptor": jsonata("$merge([$storage, {'Location': $states.input.location}])"),
    }


def record_run(s: Surroundings) -> State:
    """Completes the run's record."""
    return run_record(
        s,
        "data",
        {
            "status": "'succeeded'",
            "as_of": "$as_of",
            "bundle": "$states.input.bundle.bundle",
            "commit": "$states.input.bundle.commit",
            "batch_uri": "$states.input.batch_uri",
            "dataset_version": "$version",
            "report_uri": "$manifest.report_uri",
        },
    )


def publish_views(p: DataParts) -> dict[str, State]:
    """Starts the job that keeps the Iceberg table and its views; nobody waits for it, and it has its own alarm."""
    if p.views_job_name is None:
        return {}
    return {
        "PublishViews": task(
            "glue:startJobRun",
            {
                "JobName": p.views_job_name,
                "Arguments": {
                    "--curated_uri": jsonata("$manifest.tables[zone = 'curated'].location"),
                    "--version": jsonata("$version"),
                },
            },
            timeout=CALL_SECONDS,
        )
    }


def load_warehouse(p: DataParts) -> dict[str, State]:
    """Starts the machine that loads the warehouse; nobody waits for it, and it tells of its own failures."""
    if p.warehouse_machine_arn is None:
        return {}
    given = "{'run_id': $states.input.run_id, 'workload': $states.input.workload, 'dataset': $manifest}"
    return {
        "LoadWarehouse": task(
            "states:startExecution",
            {
                "StateMachineArn": p.warehouse_machine_arn,
                "Name": jsonata(f"$states.input.run_id & '-w' & {redrives()} & '-' & {retries()}"),
                "Input": jsonata(given),
            },
            timeout=CALL_SECONDS,
        )
    }


def too_many_quarantined(p: DataParts) -> State:
    figures = "$phases.validation"
    return refusal(
        "QuarantineLimitExceeded",
        f"{figures}.rows_quarantined & ' of ' & {figures}.rows_in & ' rows were quarantined, a share of ' "
        f"& {figures}.quarantined_share & '; allowed is {p.max_quarantined_share}'",
    )


def rule_failed() -> State:
    return refusal("RuleFailed", f"'rules that the batch does not keep: ' & $join({broken_rules()}.rule, '; ')")


def source_empty() -> State:
    return refusal("SourceEmpty", f"'no row is valid of: ' & $join({empty_sources()}, ', ')")


def rows_lost() -> State:
    figures = "$phases.validation"
    return refusal(
        "RowsLost",
        f"{figures}.rows_in & ' rows came in, but ' & {figures}.rows_validated & ' were validated and ' "
        f"& {figures}.rows_quarantined & ' quarantined'",
    )


def refusal(error: str, cause: str) -> State:
    """Refuses the batch; the message says where the report is."""
    return own_failure(error, f"{cause} & '; report: ' & $report_uri")


def published_key(s: Surroundings) -> str:
    """The JSONata of the key of the published manifest."""
    return f"'{s.workload}/' & $version & '/manifest.json'"


def index_key(s: Surroundings) -> str:
    """The JSONata of the key of the dataset's entry in the index; keys sort as their instants do."""
    seconds = "$replace($replace($substring($as_of, 0, 19), '-', ''), ':', '')"
    fraction = "($contains($as_of, '.') ? $substring($as_of, 20, 6) : '000000')"
    return f"'{s.workload}/index/' & {seconds} & '.' & {fraction} & 'Z_' & $version & '.json'"


def candidate_key(s: Surroundings) -> str:
    """The JSONata of the prefix of what this attempt wrote."""
    return f"'{s.workload}/' & $version & '/attempt=' & $attempt & '/'"
