"""Synthesise one stage of the application, and again only when something that it reads has changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.environment import synth_env
from local.errors import Failure, UserError
from local.processes import child
from local.server_process import log_tail
from local.settings import Settings

_INPUTS = ("app.py", "cdk.json", "stacks", "constructs_lib", "lambda", "glue_jobs", "sagemaker_jobs", "workloads")
_ELSEWHERE = ("account", "region", "promotion")
"""Settings of a stage that are about accounts in AWS."""

_PACKAGES = ("aws-cdk-lib", "constructs", "cdk-nag", "pydantic")


@dataclass(frozen=True)
class Templates:
    """Synthesised templates.

    Args:
        folder: What ``cdk deploy --app`` takes.
        seconds: How long the synthesis took; 0 if the templates were there already.
    """

    folder: Path
    seconds: float


def synthesise(settings: Settings) -> Templates:
    """Run ``app.py`` without keys and without an endpoint, unless its inputs are those of the last time.

    Raises:
        Failure: The application did not synthesise; the message has the end of its output.
        UserError: The application has no such stage.
    """
    out = settings.cache_dir / "cdk.out"
    stamp = settings.cache_dir / "synth.json"
    context = context_here(settings.project, settings.stage)
    digest = f"{settings.stage} {inputs_digest(settings.project)}"
    if (out / "manifest.json").is_file() and stamp.is_file() and json.loads(stamp.read_text())["digest"] == digest:
        return Templates(out, 0.0)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    seconds = _run_app(settings, out, context)
    stamp.write_text(json.dumps({"digest": digest, "seconds": round(seconds, 3)}))
    return Templates(out, seconds)


def stack_sizes(folder: Path) -> dict[str, int]:
    """How many resources each stack of an assembly and of those nested in it has, by the stack's physical name."""
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    sizes: dict[str, int] = {}
    for name, artifact in artifacts.items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            sizes |= stack_sizes(folder / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            template = json.loads((folder / properties["templateFile"]).read_text())
            sizes[properties.get("stackName", name)] = len(template.get("Resources", {}))
    return sizes


def inputs_digest(checkout: Path) -> str:
    """SHA-256 over everything that synthesis reads: names and bytes of the files, versions of the packages."""
    digest = hashlib.sha256()
    for name in _PACKAGES:
        digest.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    digest.update(sys.version.encode())
    for path in _input_files(checkout):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(checkout).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def context_here(checkout: Path, stage: str) -> dict[str, str]:
    """What is added to the context of ``cdk.json`` or replaces parts of it, as a variable of the CDK.

    One stage is deployed at a time, so it alone is synthesised. This machine is the account and region of every stage,
    whichever it has in AWS; so there is no other account to take models from, and nothing that delivers to accounts.

    Raises:
        UserError: There is no such stage.
    """
    path = checkout / "cdk.json"
    content = json.loads(path.read_text(encoding="utf-8")).get("context", {}) if path.is_file() else {}
    stages = content.get("stages")
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        return {}
    if stage not in stages:
        raise UserError(f"stage {stage!r} is not in {path} (there are: {', '.join(stages) or 'none'})")
    here = {
        name: {key: value for key, value in stage.items() if key not in _ELSEWHERE} for name, stage in stages.items()
    }
    replaced: dict[str, object] = {"stage": stage}
    if here != stages:
        replaced["stages"] = here
    if "pipeline" in content:
        replaced["pipeline"] = None
    return {"CDK_CONTEXT_JSON": json.dumps(replaced)}


def _input_files(checkout: Path) -> Iterator[Path]:
    for name in _INPUTS:
        root = checkout / name
        found = [root] if root.is_file() else root.rglob("*")
        yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _run_app(settings: Settings, out: Path, context: dict[str, str]) -> float:
    log = settings.log_dir / "synth.log"
    started = time.monotonic()
    with log.open("wb") as output:
        command = [sys.executable, "app.py"]
        env = synth_env(settings, out) | context
        with child(command, env=env, cwd=settings.project, stdout=output, stderr=subprocess.STDOUT) as process:
            code = process.wait()
    if code != 0:
        raise Failure(f"app.py ended with exit code {code}\n{log_tail(log)}")
    return time.monotonic() - started
