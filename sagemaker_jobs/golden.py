"""Answers the golden requests with a model before any endpoint is touched: same image, same archive, same code.

Arguments: ``--model`` (folder with ``model.tar.gz``), ``--golden`` (folder with the bundle's ``sourcedir.tar.gz``),
``--output``, ``--message`` and, to make sure that it is the model that was evaluated, ``--model_sha256`` (its
canonical digest).

``golden.json`` of the bundle holds ``{"cases": [{"name", "request", "expect"}]}``, where ``expect`` is one of

- ``{"probability": [[low, high], …]}``: as many predictions, each within its bounds;
- ``{"refused": "text"}``: the request is refused, and the message contains the text.

Writes ``golden.json`` to the output folder: ``{"model": {"sha256"}, "passed", "cases": [{"name", "request",
"predictions" or null, "refused": message or null, "passed", "reason"}]}``. A case that fails fails the job, after
everything is written.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapless_sagemaker.artefact import UnsafeArtefact
from gapless_sagemaker.job import Arguments, write_json
from gapless_sagemaker.model import LoadedModel, Refused, load

_MOST_BYTES = 1 << 20


class BadGolden(Exception):
    """The bundle's golden requests are missing or not of the form that is asked for."""


class GoldenFailed(Exception):
    """The model does not answer the golden requests as expected."""


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    model: Path
    golden: Path
    output: Path
    model_sha256: str | None


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("answer the golden requests")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model_sha256")
    given = parser.parse_args(list(arguments))
    return Options(given.model, given.golden, given.output, given.model_sha256)


def read_cases(folder: Path) -> list[dict[str, Any]]:
    """Read the golden requests out of the bundle in a folder; nothing else of it is unpacked.

    Raises:
        BadGolden: There is no bundle, no ``golden.json`` in it, or it has not the form above.
    """
    try:
        with tarfile.open(folder / "sourcedir.tar.gz", "r:gz") as bundle:
            member = bundle.extractfile("golden.json")
            text = member.read(_MOST_BYTES) if member is not None else b""
        cases = json.loads(text)["cases"]
    except (OSError, EOFError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise BadGolden(f"no golden requests in the bundle's golden.json: {error}") from error
    if not isinstance(cases, list) or not cases:
        raise BadGolden(f"cases of golden.json: given {cases!r:.80}; allowed is a list of at least one")
    for position, case in enumerate(cases):
        _check_case(position, case)
    return cases


def _check_case(position: int, case: Any) -> None:
    where = f"cases[{position}] of golden.json"
    if not isinstance(case, dict) or set(case) != {"name", "request", "expect"}:
        raise BadGolden(f"{where}: given {case!r:.80}; allowed is an object of name, request and expect")
    match case["expect"]:
        case {"refused": str(), **others} if not others:
            return
        case {"probability": [*bounds], **others} if bounds and not others and all(map(_are_bounds, bounds)):
            return
        case other:
            allowed = '{"probability": [[low, high], …]} within 0 and 1, or {"refused": text}'
            raise BadGolden(f"{where}.expect: given {other!r:.80}; allowed is {allowed}")


def _are_bounds(bounds: Any) -> bool:
    match bounds:
        case [int() | float() as low, int() | float() as high]:
            return 0 <= low <= high <= 1
        case _:
            return False


def judge(case: Mapping[str, Any], predictions: list[dict[str, Any]] | None, refused: str | None) -> dict[str, Any]:
    """Compare an answer (predictions, or the message of a refusal) with what the case expects."""
    reason = _difference(case["expect"], predictions, refused)
    return {
        "name": case["name"],
        "request": case["request"],
        "predictions": predictions,
        "refused": refused,
        "passed": reason is None,
        "reason": reason,
    }


def _difference(expect: Mapping[str, Any], predictions: list[dict[str, Any]] | None, refused: str | None) -> str | None:
    if "refused" in expect:
        if refused is None:
            return f"answered; expected is a refusal that names {expect['refused']!r}"
        return (
            None
            if expect["refused"] in refused
            else f"refused with {refused!r}; expected is {expect['refused']!r} in it"
        )
    if predictions is None:
        return f"refused: {refused}"
    if len(predictions) != len(expect["probability"]):
        return f"{len(predictions)} predictions; expected are {len(expect['probability'])}"
    for position, (prediction, (low, high)) in enumerate(zip(predictions, expect["probability"])):  # noqa: B905
        if not low <= prediction["probability"] <= high:
            return f"probability of prediction {position} is {prediction['probability']}; expected is {low} to {high}"
    return None


def answer(model: LoadedModel, case: Mapping[str, Any]) -> dict[str, Any]:
    """Send one case to the model and judge what comes back."""
    try:
        return judge(case, model.answer(case["request"]), None)
    except Refused as refusal:
        return judge(case, None, str(refusal))
    except Exception as error:
        raise GoldenFailed(f"{case['name']}: the model fails: {type(error).__name__}: {error}") from error


def load_to_answer(options: Options, scratch: Path) -> LoadedModel:
    """Load the model; that it cannot be loaded is its own fault, like a wrong answer.

    Raises:
        UnsafeArtefact: The archive is refused.
        GoldenFailed: The archive's own code fails.
    """
    try:
        return load(options.model, scratch / "model")
    except UnsafeArtefact:
        raise
    except Exception as error:
        raise GoldenFailed(f"the model does not load: {type(error).__name__}: {error}") from error


def run(options: Options, scratch: Path) -> None:
    """Answer every case, write the document, and fail if a case does.

    Raises:
        UnsafeArtefact: The archive is refused, or it is not the model that was evaluated.
        BadGolden: See :func:`read_cases`.
        GoldenFailed: The model does not load, or a case went otherwise than expected.
    """
    cases = read_cases(options.golden)
    model = load_to_answer(options, scratch)
    if options.model_sha256 is not None and model.artefact.sha256 != options.model_sha256:
        raise UnsafeArtefact(f"digest is {model.artefact.sha256}; the evaluated model's is {options.model_sha256}")
    answered = [answer(model, case) for case in cases]
    failed = [f"{case['name']}: {case['reason']}" for case in answered if not case["passed"]]
    document = {"model": {"sha256": model.artefact.sha256}, "passed": not failed, "cases": answered}
    write_json(options.output, "golden.json", document)
    if failed:
        raise GoldenFailed(f"{len(failed)} of {len(cases)} cases: {'; '.join(failed)}")


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
