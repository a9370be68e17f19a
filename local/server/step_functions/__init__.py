"""Step Functions: JSONata machines run by our own interpreter, every integration under the machine's role.

ministack keeps machines, records and history, and answers the operations that only read them.
"""

from __future__ import annotations

from local.server import hooks
from local.server.host import Host
from local.server.step_functions.executions import Executions


def register(host: Host) -> None:
    """Run executions here, and serve the operations that control them."""
    executions = Executions(host)
    hooks.replace("services.stepfunctions:_run_execution", executions.run)
    host.add_operations(
        "states",
        {
            "StopExecution": executions.stop,
            "RedriveExecution": executions.redrive,
            "DescribeExecution": executions.describe,
        },
    )
    host.on_shutdown(executions.shut_down)
