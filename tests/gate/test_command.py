import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from gate.cost.idle import DEV
from gate.template_rules import RULES

ROOT = Path(__file__).parent.parent.parent
LINKED = ("stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs", "workloads/seattle_temperature")

NO_TOPICS = """
let topics = Resources.*[ Type == 'AWS::SNS::Topic' ]
rule there_are_no_topics { %topics empty <<a topic was found>> }
"""


def test_prints_what_is_wrong_and_exits_with_one(tmp_path: Path) -> None:
    """The platform of this copy is small: one stage, one workload."""
    settings = json.loads((ROOT / "cdk.json").read_text())
    settings["context"]["stages"] = {DEV: settings["context"]["stages"][DEV]}
    (tmp_path / "cdk.json").write_text(json.dumps(settings))
    (tmp_path / "workloads").mkdir()
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(RULES.parent, tmp_path / "gate")
    (tmp_path / "gate" / "rules" / "extra.guard").write_text(NO_TOPICS)
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "JSII_NODE")}
    done = subprocess.run(
        [sys.executable, "-m", "gate"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("dev-Operations/OnCall")
    assert lines[0].endswith(": a topic was found (there_are_no_topics)")
    assert done.stderr.splitlines()[-1].endswith(" templates, 1 findings")
