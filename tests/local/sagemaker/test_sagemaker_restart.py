from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.local.sagemaker.conftest import ECHO, Lab, wait_for


def start_again(server: Any) -> Any:
    """Start another server on the state of one that was stopped."""
    start = sys.modules[type(server).__module__].start_server
    return start(server.state_dir)


def test_after_a_restart_endpoints_serve_and_running_jobs_have_failed(own_server: Any) -> None:
    lab = Lab(own_server)
    pid = "import os\n" + ECHO.format(version="v1").replace('"version": model', '"version": os.getpid()')
    name = lab.endpoint(lab.config(lab.model(pid)))
    process = lab.invoke(name, {})["json"]["version"]
    request = lab.training_request("import time; time.sleep(600)")
    lab.sagemaker.create_training_job(**request)
    describe = {"TrainingJobName": request["TrainingJobName"]}
    wait_for(lambda: lab.sagemaker.describe_training_job(**describe)["SecondaryStatus"] == "Training")

    own_server.stop()

    assert not Path(f"/proc/{process}").exists() and not _is_alive(process)
    assert list((own_server.state_dir / "scratch").glob("*-*")) == []
    again = start_again(own_server)
    try:
        lab = Lab(again, name=lab.name)
        job = lab.sagemaker.describe_training_job(**describe)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
        assert job["FailureReason"].startswith("InternalServerError: the local server was stopped")
        assert lab.invoke(name, {"a": 1})["json"]["got"] == {"a": 1}
        assert lab.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    finally:
        again.stop()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
