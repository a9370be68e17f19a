"""The CDK CLI's own account of a change, stack by stack, without an account of AWS."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from gate.assembly import StackTemplate
from gate.change.report import StackDifference

_CLI = Path(__file__).parent.parent.parent / "node_modules" / "aws-cdk" / "bin" / "cdk"


def cli_differences(
    found: Iterable[StackDifference], before: Iterable[StackTemplate], assembly: Path
) -> Iterator[tuple[str, str]]:
    """Yields names of stacks and what ``cdk diff`` says of them; stages that change alike are told once.

    Args:
        found: The stacks that differ.
        before: All stacks of the base.
        assembly: The folder of the new assembly.
    """
    old = {stack.stack: stack for stack in before}
    alike: dict[object, list[StackDifference]] = {}
    for difference in found:
        alike.setdefault(difference.kind, []).append(difference)
    with tempfile.TemporaryDirectory() as home:
        for group in alike.values():
            first = group[0]
            if first.stack in old and (
                first.added or first.changed or len(first.removed) < len(old[first.stack].resources)
            ):
                yield ", ".join(each.stack for each in group), _diff(first, old[first.stack].path, assembly, Path(home))


def _diff(difference: StackDifference, template: Path, assembly: Path, home: Path) -> str:
    pattern = difference.stack
    if difference.stage is not None:
        pattern = f"{difference.stage}/{difference.stack.removeprefix(f'{difference.stage}-')}"
    command = [os.environ["JSII_NODE"], str(_CLI), "diff", pattern, "--app", str(assembly), "--template", str(template)]
    command += ["--no-change-set", "--no-color", "--no-notices", "--no-version-reporting"]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        "HOME": str(home),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "1",
        "CDK_DISABLE_VERSION_CHECK": "1",
    }
    done = subprocess.run(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        return f"cdk diff ended with exit code {done.returncode}: {done.stdout.strip()}"
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith(("Stack ", "✨"))]
    return "\n".join(lines)
