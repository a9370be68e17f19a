"""What a workload asks of an evaluation, as the folder that the job gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ASKED: dict[str, Any] = {
    "problem": "binary_classification",
    "target": "late",
    "metric": "auc",
    "level": 0.05,
    "slices": [],
    "min_slice_rows": 100,
    "facets": [],
    "favourable": [True],
    "explanations": None,
    "features": ["dest", "distance", "temp"],
    "sensitive": [],
    "name": "flight_delays",
    "owner": "flights@example.com",
    "description": "Late arrivals",
    "model_card": {
        "intended_uses": "",
        "factors": "",
        "risk_rating": "unknown",
        "risk_reason": "",
        "ethical_considerations": "",
        "caveats": "",
    },
}


def options_folder(folder: Path, **others: Any) -> Path:
    """Writes the options, some of them changed; gives their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "abc123.json").write_text(json.dumps({**ASKED, **others}))
    return folder
