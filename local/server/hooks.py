"""Every private name of ministack that the local server leans on, in one list.

ministack is pinned exactly. When the pin moves, ``tests/local/server/test_ministack_hooks.py`` asks this list what
still holds, and names what broke and what it was for. Code reaches a private name only through ``get`` and
``replace``, which refuse what is not listed.

Importing this module imports nothing of ministack: the launcher sets the environment first.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hook:
    """One private name.

    Attributes:
        purpose: What stops working when the name goes or changes.
        parameters: For a function, the names of its parameters in order; ``None`` for anything else.
    """

    purpose: str
    parameters: tuple[str, ...] | None = None


_REQUEST = ("method", "path", "headers", "body", "query_params")

HOOKS: Mapping[str, Hook] = {
    # the server itself
    "app:app": Hook("requests are served, behind a guard of the administrative paths", ("scope", "receive", "send")),
    "app:SERVICE_HANDLERS": Hook("services that ministack lacks, and single operations of those it has, are served"),
    "app:AUTH": Hook("IAM is enforced"),
    "core.responses:_service_model": Hook("models of services are read once, by whomever", ("service",)),
    "core.responses:_BOTOCORE_NAME": Hook("models of services are found"),
    # the clock of the account
    "core.responses:datetime": Hook(
        "objects, executions and whatever else has a date are dated by the account's clock"
    ),
    "services.cloudwatch:time": Hook("metrics and changes of alarms are dated by the account's clock"),
    "services.eventbridge:_now_ts": Hook("events are dated by the account's clock, and rules keep set times by it", ()),
    "services.eventbridge:_SCHEDULER_TICK_INTERVAL": Hook("what a set clock has made due comes soon"),
    "services.scheduler:_now": Hook("schedules are dated by the account's clock", ()),
    # identity
    "core.router:extract_access_key_id": Hook("the caller of a request is known", ("headers", "query_params")),
    "core.router:_is_aws_service_name": Hook(
        "the first request to a service of ours does not load the models of all of AWS", ("scope_name",)
    ),
    "core.iam_evaluator:enforce": Hook(
        "plug-ins check policies",
        ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"),
    ),
    "core.iam_evaluator:resolve_principal": Hook(
        "the caller of a request is known", ("access_key_id", "account_id", "credential")
    ),
    "core.iam_evaluator:pin_request_origin": Hook(
        "what services do counts as done over TLS", ("source_ip", "secure_transport")
    ),
    "core.iam_evaluator:AuthError": Hook("bad credentials are told from missing grants"),
    "core.iam_evaluator:EvalContext": Hook("conditions of trust policies are evaluated"),
    "core.iam_evaluator:_conditions_met": Hook("conditions of trust policies are evaluated", ("conditions", "ctx")),
    "core.iam_evaluator:_action_matches": Hook(
        "actions of trust policies are matched", ("request_action", "actions", "not_actions")
    ),
    "core.iam_evaluator:_service_principal_matches": Hook(
        "service principals of trust policies are matched", ("principal", "service")
    ),
    "core.iam_evaluator:is_root_access_key": Hook(
        "the well-known keys (test, account ids, none at all) are not the root user", ("access_key_id",)
    ),
    "services.sts:is_root_access_key": Hook(
        "the well-known keys (test, account ids, none at all) are not the root user", ("access_key_id",)
    ),
    "core.iam_actions:extract_iam_action": Hook(
        "operations that take a role are known", ("service", "method", "path", "headers", "body", "query_params")
    ),
    "core.iam_actions:_lambda_action": Hook("operations on one alias are known", ("method", "path")),
    "core.iam_actions:identity_denial_message": Hook(
        "denials carry AWS's sentence", ("action", "principal_arn", "resource", "explicit_deny")
    ),
    "services.iam:_roles": Hook("roles are found for services that assume them"),
    "services.sts:register_session": Hook("services act with temporary credentials", ("access_key", "session")),
    # alarms and events
    "services.eventbridge:_invoke_target": Hook(
        "rules deliver only where a policy lets them", ("target", "event", "rule", "view")
    ),
    "core.iam_evaluator:_resource_policy": Hook(
        "policies of queues, topics, functions and keys are found", ("service", "resource_arn")
    ),
    "core.iam_evaluator:evaluate_resource_policy": Hook(
        "policies of queues, topics, functions and keys are evaluated",
        ("doc", "ctx", "service", "named_only", "direct_only"),
    ),
    "services.cloudwatch:_evaluate_alarm": Hook("alarms are evaluated by dimension and period", ("alarm",)),
    "services.cloudformation.provisioners:_cw_metric_alarm_record": Hook(
        "alarms of templates may use metric math", ("name", "props")
    ),
    "services.cloudwatch:_alarms": Hook("alarms are looked at although no metric is published"),
    "services.cloudwatch:_metrics": Hook("alarms find their metric's values"),
    "services.cloudwatch:_dims_key": Hook("alarms find their metric's values", ("dims",)),
    "services.cloudwatch:_evict_old_metrics": Hook("old metrics are not looked for at each request", ()),
    "services.cloudwatch:_calc_stats": Hook("alarms compute statistics", ("points",)),
    "services.cloudwatch:_stat_value": Hook("alarms compute percentiles", ("stats", "stat_name", "points")),
    "services.cloudwatch:_record_history": Hook(
        "changes of alarms are kept",
        ("alarm_name", "old_state", "new_state", "reason", "alarm_type", "reason_data"),
    ),
    "services.cloudwatch:_dispatch_alarm_actions": Hook(
        "changes of alarms reach topics and the event bus", ("alarm", "old_state", "new_state", "reason")
    ),
    "services.sns:_topics": Hook("the key of an alarm's topic is known"),
    "services.cloudwatch:_evaluate_parent_alarms": Hook("composite alarms follow their children", None),
    "services.scheduler:_tick_schedules": Hook("schedules are delivered under their role, by a time zone", ()),
    "services.scheduler:_schedules": Hook("schedules are found"),
    "services.eventbridge:_parse_rate_seconds": Hook("set times are kept by the clock of a time zone", ("expr",)),
    "services.eventbridge:_parse_cron_fields": Hook("set times are kept by the clock of a time zone", ("expr",)),
    "services.eventbridge:_cron_next_fire": Hook(
        "set times are kept by the clock of a time zone", ("fields", "after_dt")
    ),
    "services.eventbridge:_put_events": Hook("events come from aws.* sources", ("data", "allow_aws_source")),
    # S3 and KMS
    "services.s3:handle_request": Hook(
        "KMS permissions of object requests are checked",
        (
            *_REQUEST,
            "signed_path",
            "enforce_bucket_region",
            "internal",
            "access_point_region",
            "access_point",
        ),
    ),
    "services.s3:validate_object_request": Hook(
        "a bucket that is not here may be another account's", ("method", "path", "headers", "query_params")
    ),
    "services.s3:_bucket_default_sse_headers": Hook("the default key of a bucket is known", ("bucket_name",)),
    "services.kms:_resolve_key": Hook("keys are found by id, ARN and alias", ("key_id_or_arn",)),
    # Lambda
    "core.lambda_runtime:execution_credentials": Hook("functions act under their role", ("config",)),
    "services.lambda_svc:execution_credentials": Hook("functions act under their role", ("config",)),
    "core.lambda_runtime:_PYTHON_WORKER_SCRIPT": Hook("exceptions of functions keep their type's name"),
    "services.lambda_svc:_execute_function_warm": Hook(
        "exceptions of functions keep their type's name", ("func", "event", "request_id")
    ),
    "core.lambda_runtime:subprocess": Hook("processes of functions end with the server"),
    "services.lambda_svc:_effective_func_record_for_qualifier": Hook(
        "calls of an alias that is being moved are shared between two versions", ("func", "qualifier")
    ),
    "services.lambda_svc:_invoke": Hook(
        "calls of an alias that is being moved are shared between two versions",
        ("name", "event", "headers", "path_qualifier", "query_params"),
    ),
    "services.lambda_svc:_emit_lambda_logs": Hook(
        "metrics in log lines of functions are published",
        ("func", "request_id", "log_text", "error", "duration_ms", "log_source"),
    ),
    "services.lambda_svc:_probe_peak_memory_mb": Hook("functions report the memory that they use", ("func",)),
    "services.lambda_svc:_functions": Hook("aliases that are being moved are found"),
    # Step Functions
    "services.stepfunctions:_run_execution": Hook("executions run in our interpreter", ("exec_arn",)),
    "services.stepfunctions:_executions": Hook("executions are found by their ARN"),
    "services.stepfunctions:_state_machines": Hook("machines are found by their ARN"),
    "core.iam_actions:request_tag_context": Hook(
        "policies with cloudwatch:namespace allow metrics", ("service", "iam_action", "body", "params")
    ),
    # Glue and Athena
    "core.iam_actions:extract_resource_arn": Hook(
        "Glue calls are checked on the resources that AWS checks them on",
        ("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
    ),
    "core.iam_evaluator:resolve_credential": Hook(
        "Athena reads with the rights of the caller", ("access_key_id", "account_id", "session_token")
    ),
    "services.athena:_executions": Hook("Athena's queries are kept"),
    "services.athena:_named_queries": Hook("calls on saved queries are checked on their workgroup"),
    "services.athena:_workgroups": Hook("Athena's queries keep to their workgroup"),
    "services.glue:_handle_request_sync": Hook("the rest of Glue is answered", _REQUEST),
    "services.glue:_jobs": Hook("Glue jobs run"),
    "services.glue:_job_runs": Hook("runs of Glue jobs are kept"),
    "services.glue:_crawlers": Hook("crawlers crawl"),
    "services.glue:_security_configs": Hook("Glue jobs encrypt what they write as they are told"),
    "services.glue:_databases": Hook("Lake Formation tags databases that exist"),
    "services.glue:_tables": Hook("partitions belong to a table, and Athena reads tables"),
    "services.glue:_partitions": Hook("partitions are kept"),
    "services.glue:_create_job": Hook("Glue jobs keep all that they are made with", ("data",)),
    "services.glue:_update_job": Hook("Glue jobs keep all that they are changed to", ("data",)),
    "services.cloudformation.provisioners:_GLUE_JOB_DEFAULTS": Hook("Glue jobs in templates keep all their properties"),
    # Firehose
    "services.firehose:_deliver_records_to_s3": Hook(
        "streams buffer records and deliver them under their role", ("stream", "dest", "records")
    ),
    "services.firehose:_metadata_extraction_keys": Hook("streams part records by their values", ("cfg", "data")),
    "services.firehose:_evaluate_prefix": Hook(
        "streams put objects under dates and partitions", ("template", "t", "query_keys", "lambda_keys", "error_type")
    ),
    "services.firehose:_java_time": Hook("streams name objects by their time", ("pattern", "t")),
    "services.firehose:_json_documents": Hook("streams read records", ("data",)),
    "services.firehose:_conversion_error": Hook("streams say why a record is no row", ("kind",)),
    "services.firehose:_DeliveryError": Hook("records that cannot be delivered are told from those that can"),
    # CloudFormation
    "services.cloudformation.provisioners:_RESOURCE_HANDLERS": Hook("resource types that ministack lacks are made"),
    "services.cloudformation.handlers:_resolve_stack": Hook(
        "who asks for a stack that is being changed hears at once when it has been", ("stack_name",)
    ),
    "services.cloudformation.stacks:_runs_on_worker_thread": Hook(
        "a resource type that calls the server does not block it", ("resource_type",)
    ),
    "services.cloudformation.custom_resource:invoke_custom_resource": Hook(
        "a custom resource that does not answer fails soon",
        (
            "request_type",
            "logical_id",
            "props",
            "stack_name",
            "stack_id",
            "resource_type",
            "physical_id",
            "old_props",
        ),
    ),
}


def get(name: str) -> Any:
    """The object behind a listed ``module:name``; the module is below ``ministack``.

    Raises:
        KeyError: The name is not listed.
    """
    if name not in HOOKS:
        raise KeyError(f"{name} is not in the list of hooks")
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"ministack.{module}"), attribute)


def replace(name: str, value: object) -> Any:
    """Put ``value`` in the place of a listed name; returns what was there."""
    before = get(name)
    module, _, attribute = name.partition(":")
    setattr(importlib.import_module(f"ministack.{module}"), attribute, value)
    return before


def problem(name: str) -> str | None:
    """What is wrong with a hook in the installed ministack, or ``None``."""
    hook = HOOKS[name]
    try:
        found = get(name)
    except (ImportError, AttributeError) as error:
        return f"{name} is gone ({error}): {hook.purpose}"
    if hook.parameters is None:
        return None
    parameters = tuple(inspect.signature(found).parameters)
    if parameters != hook.parameters:
        return f"{name} takes {parameters}, not {hook.parameters}: {hook.purpose}"
    return None


if __name__ == "__main__":
    import json
    import sys

    json.dump({name: problem(name) for name in HOOKS}, sys.stdout)
