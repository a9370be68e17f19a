"""Other scripts than the workload's: changed copies of its folder, published like the original."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from constructs_lib.names.bundle import build_bundle
from tests.end_to_end.live import WORKLOAD, Live


def publish_copy(live: Live, folder: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Publish a copy of the workload with other files; nothing points to it. Returns what would.

    Args:
        folder: Where to copy to; must not exist yet.
        changes: File name to content.
    """
    shutil.copytree(live.settings.workload_dir, folder)
    for name, content in changes.items():
        (folder / name).write_text(content)
    bundle = build_bundle(folder)
    uri = f"s3://{live.outputs.artefacts_bucket}/{bundle.key(WORKLOAD)}"
    live.write(uri, bundle.content)
    return {"bundle": bundle.sha256, "uri": uri, "commit": "changed"}
