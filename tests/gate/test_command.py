import os
import shutil
import subprocess
import sys
from pathlib import Path

from gate.template_rules import RULES

ROOT = Path(__file__).parent.parent.parent
LINKED = ("stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs", "workloads", "cdk.json")

NO_TOPICS = """
let topics = Resources.*[ Type == 'AWS::SNS::Topic' ]
rule there_are_no_topics { %topics empty <<a topic was found>> }
"""


def test_prints_what_is_wrong_and_exits_with_one(tmp_path: Path) -> None:
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(RULES.parent, tmp_path / "gate")
    (tmp_path / "gate" / "rules" / "extra.guard").write_text(NO_TOPICS)
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "JSII_NODE")}
    done = subprocess.run(
        [sys.executable, "-m", "gate"],
        cwd=tmp_path,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("dev-Operations/OnCall")
    assert lines[0].endswith(": a topic was found (there_are_no_topics)")
    assert done.stderr.splitlines()[-1].endswith(" templates, 3 findings")
