"""An HTTP API is pulled on a schedule."""

from __future__ import annotations

import json
from collections.abc import Iterable

from constructs import Construct

from constructs_lib.grants import arn, grant
from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.names.ingestion_file import Api
from constructs_lib.names.pull_spec import pull_spec, secret_name
from constructs_lib.text_asset import TextAsset

_SECONDS = 300


class ApiPull(Construct):
    """Defines what fetches the new rows of an HTTP API into the incoming folder of a source, once each.

    The function runs outside the VPC, so that it reaches the internet. How far it has come is an item of the runs
    table; a call that failed for good is made up for by the next one that succeeds.

    Args:
        around: Where it runs.
        source: The source of the workload.
        file_format: Of the files: ``csv`` or ``json_lines``.
        columns: The declared columns of the source, in order.
        api: The API.

    Attributes:
        intake: The queue with its failures; moving them back does again what was not done.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        source: str,
        file_format: str,
        columns: Iterable[str],
        api: Api,
    ) -> None:
        super().__init__(scope, construct_id)
        spec = pull_spec(
            stage=around.stage,
            workload=around.workload,
            source=source,
            file_format=file_format,
            columns=columns,
            api=api,
        )
        text = TextAsset(self, "Spec", text=json.dumps(spec, sort_keys=True, ensure_ascii=False), suffix=".json")
        function = around.function(
            self,
            "Function",
            folder="pull_api",
            description=f"Pulls {source} of {around.workload} from its API",
            timeout_seconds=_SECONDS,
            environment={"PULL_URI": text.uri},
        )
        text.grant_read(function)
        lake = around.lake
        for folder in ("pulled", "files"):
            lake.grant_read(function, "landing", spec[folder])
        for folder in ("pulled", "incoming"):
            lake.grant_write(function, "landing", spec[folder])
        lake.grant_delete(function, "landing", spec["pulled"])
        lake.grant_table(function, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        if api.secret is not None:
            name = secret_name(around.stage, around.workload, api.secret.name)
            # Secrets Manager puts six characters of its own after the name.
            grant(function, ["secretsmanager:GetSecretValue"], arn("secretsmanager", f"secret:{name}-*"))
        self.intake: EventIntake = around.on_schedule(
            self,
            "Intake",
            function=function,
            seconds=_SECONDS,
            every=api.every,
            lost=f"what is new of {source} was not pulled",
        )
