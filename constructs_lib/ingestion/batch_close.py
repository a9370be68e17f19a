"""Batches are made of what has come, on a schedule."""

from __future__ import annotations

import json

from constructs import Construct

from constructs_lib.ingestion.surroundings import Surroundings
from constructs_lib.intake import EventIntake
from constructs_lib.names.ingestion_file import Ingestion
from constructs_lib.names.landing import batch_item
from constructs_lib.names.workload_file import Source
from constructs_lib.text_asset import TextAsset

_SECONDS = 900


class BatchClose(Construct):
    """Defines what makes a batch of the files in a workload's incoming folder, when there is enough for one.

    A file is in exactly one batch, and its content stays under ``files/``. A batch of which the schedule's event failed
    for good is made by the next one that succeeds.

    Args:
        around: Where it runs.
        ingestion: When, and what a batch needs.
        sources: The workload's sources.

    Attributes:
        intake: The queue with its failures; moving them back does again what was not done.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        around: Surroundings,
        ingestion: Ingestion,
        sources: dict[str, Source],
        primary: str,
    ) -> None:
        super().__init__(scope, construct_id)
        folders, lake = around.folders, around.lake
        plan = {
            "workload": around.workload,
            "incoming": folders.incoming,
            "files": folders.files,
            "batches": folders.batches,
            "item": batch_item(around.workload),
            "needs": list(ingestion.needs or (primary,)),
            "sources": {
                name: {"format": source.format, "collect": ingestion.sources[name].collect}
                for name, source in sources.items()
            },
        }
        text = TextAsset(self, "Plan", text=json.dumps(plan, sort_keys=True), suffix=".json")
        function = around.function(
            self,
            "Function",
            folder="close_batch",
            description=f"Makes batches of what has come for {around.workload}",
            timeout_seconds=_SECONDS,
            environment={"PLAN_URI": text.uri},
        )
        text.grant_read(function)
        lake.grant_read(function, "landing", folders.incoming)
        lake.grant_delete(function, "landing", folders.incoming)
        lake.grant_write(function, "landing", folders.files)
        lake.grant_read(function, "landing", folders.batches)
        lake.grant_write(function, "landing", folders.batches)
        lake.grant_table(function, lake.runs_table, "dynamodb:GetItem", "dynamodb:UpdateItem")
        self.intake: EventIntake = around.on_schedule(
            self,
            "Intake",
            function=function,
            seconds=_SECONDS,
            every=ingestion.every,
            lost="files wait in the incoming folder, or lie there and no batch can take them",
        )
