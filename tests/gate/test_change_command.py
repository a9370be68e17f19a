"""``make diff``: a revision against the working tree, in a repository whose app only writes templates."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gate.change.__main__ import main
from gate.change.revisions import removable_stages

BUCKET = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
TOPIC = {"Type": "AWS::SNS::Topic"}
APP = """
import json, os, pathlib, sys
if pathlib.Path("broken").exists():
    sys.exit("workloads/churn: name: was 3")
context = json.loads(os.environ["CDK_CONTEXT_JSON"])
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True)
resources = json.loads(pathlib.Path("resources.json").read_text())
if context.get("allow_removal"):
    resources = {key: {"Type": value["Type"]} for key, value in resources.items()}
resources["Prefix"] = {"Type": "AWS::SSM::Parameter", "Properties": {"Value": sys.prefix}}
(out / "Lake.json").write_text(json.dumps({"Resources": resources}))
stack = {"type": "aws:cloudformation:stack", "displayName": "dev/Lake", "properties": {"templateFile": "Lake.json"}}
(out / "manifest.json").write_text(json.dumps({"artifacts": {"dev-Lake": stack}}))
"""


class Repository:
    """A repository with a base, from which the working tree differs.

    Args:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        (folder / "app.py").write_text(APP)
        (folder / "requirements.txt").write_text("# none\n")
        self.stages({"dev": {"removable": True}, "prod": {}})
        self.resources({"Landing": BUCKET})
        self.commit()

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")

    def resources(self, resources: dict[str, Any]) -> None:
        (self.folder / "resources.json").write_text(json.dumps(resources))

    def stages(self, stages: dict[str, Any]) -> None:
        (self.folder / "cdk.json").write_text(json.dumps({"context": {"stages": stages}}))

    def diff(self, *arguments: str, base: str = "main") -> int:
        return main(["--brief", "--base", base, *arguments], self.folder)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_lets_pass_what_loses_nothing(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.resources({"Landing": BUCKET, "Topic": TOPIC})
    assert repository.diff() == 0
    assert capsys.readouterr().out == "dev-Lake: +1 ~0 -0\n"


def test_refuses_a_loss_that_is_not_committed_yet(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.resources({"Topic": TOPIC})
    assert repository.diff() == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("refused: dev-Lake/Landing (AWS::S3::Bucket) would be left")
    assert captured.err.splitlines()[-1] == "1 of 1 stacks change, 1 changes refused"


def test_compares_with_where_the_branch_left_and_not_with_what_came_after(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "feature")
    repository.git("checkout", "-q", "main")
    repository.resources({"Landing": BUCKET, "Newer": BUCKET})
    repository.commit()
    repository.git("checkout", "-q", "feature")
    assert repository.diff(base="main") == 0


def test_leaves_the_repository_as_it_was(repository: Repository) -> None:
    def state() -> str:
        commands = (["status", "--porcelain", "--ignored"], ["worktree", "list"], ["for-each-ref"])
        return "".join(
            subprocess.run(["git", *each], cwd=repository.folder, check=True, capture_output=True, text=True).stdout
            for each in commands
        )

    before = state()
    repository.diff()
    assert state() == before


def test_lets_go_with_two_keys_and_says_so(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.resources({})
    assert repository.diff() == 2
    assert repository.diff("--allow-removal") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("; stage dev is removable and allow_removal is given")


def test_one_key_is_not_enough(repository: Repository) -> None:
    repository.stages({"dev": {"removable": False}, "prod": {}})
    repository.commit()
    repository.stages({"dev": {"removable": True}, "prod": {}})
    repository.resources({})
    assert repository.diff("--allow-removal") == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"dev": {"removable": True}}, {"dev": {"removable": True}}, {"dev"}),
        ({"dev": {"removable": True}}, {}, {"dev"}),
        ({"dev": {"removable": True}}, {"dev": {}}, set()),
        ({"dev": {}}, {"dev": {"removable": True}}, set()),
        ({}, {"dev": {"removable": True}}, set()),
    ],
)
def test_a_stage_is_removable_where_base_and_working_tree_say_so(
    old: dict[str, Any], new: dict[str, Any], expected: set[str]
) -> None:
    before, after = ({"context": {"stages": stages}} for stages in (old, new))
    assert removable_stages(before, after) == expected


def test_the_base_is_made_with_the_packages_that_it_pins(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repository.diff() == 0
    assert capsys.readouterr().out == ""
    (repository.folder / "requirements.txt").write_text("# others\n")
    assert repository.diff() == 0
    assert capsys.readouterr().out == "dev-Lake: +0 ~1 -0\n"


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nowhere", "there is no revision 'nowhere' here; name a branch, tag or commit with BASE="),
        ("--all", "there is no revision '--all' here"),
        ("main:app.py", "there is no revision 'main:app.py' here"),
    ],
)
def test_says_what_is_wrong_with_a_revision(
    repository: Repository, capsys: pytest.CaptureFixture[str], base: str, message: str
) -> None:
    assert main(["--brief", f"--base={base}"], repository.folder) == 2
    assert message in capsys.readouterr().err


def test_says_that_histories_have_nothing_in_common(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.git("checkout", "-q", "--orphan", "other")
    repository.resources({})
    repository.commit()
    assert repository.diff(base="main") == 2
    assert "have no commit in common" in capsys.readouterr().err


def test_tells_the_end_of_what_an_app_that_does_not_synthesise_says(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.folder / "broken").touch()
    assert repository.diff() == 2
    error = capsys.readouterr().err
    assert f"app.py of {repository.folder} ended with exit code 1" in error
    assert "workloads/churn: name: was 3" in error


def test_refuses_a_folder_without_an_assembly(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert repository.diff("--before", str(repository.folder)) == 2
    assert f"{repository.folder} holds no assembly" in capsys.readouterr().err


def test_the_make_target_passes_its_variables_on(repository: Repository) -> None:
    root = Path(__file__).parent.parent.parent
    command = ["make", "-n", "-o", ".venv/.main", "-o", "node_modules/.done", "diff", "BASE=v1", "BRIEF=1"]
    done = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert "python -m gate.change --base 'v1'  --brief" in done.stdout
