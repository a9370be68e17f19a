"""Writes the golden requests of a bundle as requests of a batch transform, for models that nothing else can ask.

Arguments: ``--golden`` (folder with the bundle's ``sourcedir.tar.gz``), ``--output`` and ``--message``. Each case has
the number of its place in ``golden.json``. A case that expects a refusal is left out, since one refusal ends a
transform; the endpoint is asked it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gapless_sagemaker.job import Arguments
from gapless_sagemaker.predictions import write_request
from golden import BadGolden, expects_a_refusal, read_cases


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Raises:
        BadGolden: There are no golden requests, or none that expects an answer.
    """
    parser = Arguments("write the golden requests")
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(list(arguments))
    cases = read_cases(options.golden)
    asked = {number: case for number, case in enumerate(cases) if not expects_a_refusal(case)}
    if not asked:
        raise BadGolden("every case of golden.json expects a refusal; needed is one that expects predictions")
    for number, case in asked.items():
        write_request(options.output, number, json.dumps(case["request"], ensure_ascii=False))
