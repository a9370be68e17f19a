"""Steps run with the few packages of their own requirements."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STEPS = sorted(path.stem for path in (ROOT / "delivery").glob("[a-z]*.py"))
CHECK = """
import importlib, importlib.metadata, sys
for step in sys.argv[1:]:
    importlib.import_module("delivery." + step)
owners = importlib.metadata.packages_distributions()
used = {owner for name in list(sys.modules) for owner in owners.get(name.partition(".")[0], [])}
print(" ".join(sorted(used)))
"""


def pinned(path: Path) -> set[str]:
    return {match[1].lower() for match in re.finditer(r"^([A-Za-z0-9._-]+)==", path.read_text(), re.MULTILINE)}


def test_steps_import_nothing_that_is_not_pinned_for_them() -> None:
    """But for the certificates that botocore takes where they are installed."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *STEPS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    elsewhere = {"certifi", "gapless-constructs", "setuptools"}
    assert set(done.stdout.lower().split()) - elsewhere <= pinned(ROOT / "delivery" / "requirements.txt")


def test_versions_are_those_of_the_main_requirements() -> None:
    main = set((ROOT / "requirements.txt").read_text().splitlines())
    lines = [line for line in (ROOT / "delivery" / "requirements.txt").read_text().splitlines() if "==" in line]
    assert lines and set(lines) <= main
