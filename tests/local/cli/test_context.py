"""A platform that is spread over accounts, or delivered by a pipeline, runs on one machine all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.errors import UserError
from local.synth import context_here
from stacks.config import ROOT
from tests.stacks.delivered import PIPELINE, read, stages


def project(folder: Path, **context: object) -> Path:
    content = json.loads((ROOT / "cdk.json").read_text())
    content["context"].update(context)
    (folder / "cdk.json").write_text(json.dumps(content))
    return folder


def test_a_context_that_names_no_account_is_taken_as_it_is_and_one_stage_of_it_synthesised(tmp_path: Path) -> None:
    assert context_here(project(tmp_path), "staging") == {"CDK_CONTEXT_JSON": '{"stage": "staging"}'}


def test_refuses_a_stage_that_the_application_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stage 'test' is not in .*cdk\.json \(there are: dev, staging, prod\)"):
        context_here(project(tmp_path), "test")


@pytest.mark.parametrize("stages", [None, [], {"dev": "here"}])
def test_a_context_that_is_wrong_is_left_to_the_application(tmp_path: Path, stages: object) -> None:
    assert context_here(project(tmp_path, stages=stages), "dev") == {}


def test_accounts_and_the_pipeline_stay_in_aws(tmp_path: Path) -> None:
    for name in ("stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs", "app.py", "package.json"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "workloads").mkdir()
    project(tmp_path, stages=stages(), pipeline=PIPELINE)
    out = tmp_path / "cdk.out"
    environment = {key: os.environ[key] for key in ("PATH", "HOME")} | context_here(tmp_path, "dev")
    command = [sys.executable, str(tmp_path / "app.py")]
    environment |= {"CDK_OUTDIR": str(out), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read(out)
    assert {"Account", "dev-DataLake"} <= found.stacks.keys()
    assert [name for name in found.stacks if "pipeline" in name or name.endswith("Delivery")] == []
    manifest = json.loads((out / "manifest.json").read_text())["artifacts"]
    assert manifest["Account"]["environment"] == "aws://unknown-account/unknown-region"
