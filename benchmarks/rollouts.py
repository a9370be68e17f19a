"""How many requests fail in each scenario of a rollout: a Markdown table.

Run ``python benchmarks/rollouts.py``; it starts two local AWS of its own, one after the other, and takes four minutes.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Tell every scenario and print what became of the requests."""
    sys.path[:0] = [str(ROOT), str(ROOT / "lambda"), str(ROOT / "sagemaker_jobs")]
    tests = types.ModuleType("tests")  # a package of this name that somebody installed would be found first
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
    conftest = importlib.import_module("tests.local.conftest")
    stands = importlib.import_module("tests.local.sagemaker.rollouts.stand")
    scenarios = importlib.import_module("tests.local.sagemaker.rollouts.scenarios")
    rare = importlib.import_module("tests.local.sagemaker.rollouts.rare_scenarios")
    told: list[Any] = []
    for workloads, tellers, last in (
        (stands.WORKLOADS, scenarios.TELLERS, scenarios.FAULTS),
        ((scenarios.CANARY, scenarios.ROLLING), rare.TELLERS, rare.LAST),
    ):
        with tempfile.TemporaryDirectory() as folder:
            server = conftest.start_server(Path(folder, "state"), *stands.SCALES)
            try:
                scratch = Path(folder, "stand")
                scratch.mkdir()
                stand = stands.deploy_stand(server, scratch, workloads)
                told += scenarios.Telling(stand, tellers, last).all()
            finally:
                server.stop()
    lines = ["| strategy | scenario | ends | serves at the end | requests | failed |", "|---|---|---|---|---:|---:|"]
    for each in told:
        ends = "deployed" if each.deployment.status == "SUCCEEDED" else error_of(each.deployment)
        counts = f"{each.client.asked} | {each.client.failed}"
        lines.append(f"| {each.strategy} | {each.name} | {ends} | {each.serves} | {counts} |")
    sys.stdout.write("\n".join(lines) + "\n")


def error_of(deployment: Any) -> str:
    """By what a deployment has failed; one that a redrive takes up again tells it in its cause (decision 9)."""
    told = re.search(r" failed: (\w+): ", deployment.cause)
    return told[1] if told else str(deployment.error)


if __name__ == "__main__":
    main()
