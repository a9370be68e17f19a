"""Answers the golden requests with a model before any endpoint is touched: same image, same archive, same code.

Arguments: ``--model`` (folder with ``model.tar.gz``), ``--golden`` (folder with the bundle's ``sourcedir.tar.gz``),
``--output``, ``--message`` and, to make sure that it is the model that was evaluated, ``--model_sha256`` (its
canonical digest). With ``--answers`` nothing is loaded: that folder holds what a batch transform answered to the
requests that ``golden_requests`` wrote, and the first ``--refusals`` of the cases that expect a refusal are left to the
endpoint (``lambda/check_golden``); further ones are not asked.

``golden.json`` of the bundle holds ``{"cases": [{"name", "request", "expect"}]}``, where ``expect`` is one of

- any of these, one entry per prediction, and as many predictions as entries:
  ``"probability"``, ``"value"``, ``"distance"`` or ``"error"``: ``[[low, high], …]``, each within its bounds;
  ``"label"``: ``[true, …]`` or ``["class", …]``, and ``"cluster"``: ``[3, …]``, each exactly;
  ``"probabilities"``: ``[{"class": [low, high], …}, …]``, each named class within its bounds;
- ``{"refused": "text"}``: the request is refused, and the message contains the text.

Writes ``golden.json`` to the output folder: ``{"model": {"sha256"}, "passed", "cases": [{"name", "request",
"predictions" or null, "refused": message or null, "passed", "reason"}]}``. A case that fails fails the job, after
everything is written. A case that is left to the endpoint has ``"passed": null`` and the text under ``"refusal"``.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gapless_sagemaker import expectations
from gapless_sagemaker.artefact import Artefact, Limits, UnsafeArtefact, archive_in, open_foreign
from gapless_sagemaker.job import Arguments, write_json
from gapless_sagemaker.model import LoadedModel, Refused, load
from gapless_sagemaker.predictions import BadPredictions, read_answers

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
    answers: Path | None = None
    allow_pickle: bool = False
    refusals: int = 0

    @property
    def limits(self) -> Limits:
        """What the archive may hold."""
        return Limits(pickles=self.allow_pickle)


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
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--allow_pickle", action="store_true")
    parser.add_argument("--refusals", type=int, default=0)
    given = parser.parse_args(list(arguments))
    return Options(
        given.model,
        given.golden,
        given.output,
        given.model_sha256,
        given.answers,
        given.allow_pickle,
        given.refusals,
    )


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
        case expect if not expectations.allowed(expect):
            told = f'{expectations.shown()}, several of them together, or {{"refused": text}}'
            raise BadGolden(f"{where}.expect: given {expect!r:.80}; allowed is {told}")


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


def expects_a_refusal(case: Mapping[str, Any]) -> bool:
    """Tell whether a case passes when its request is refused."""
    return "refused" in case["expect"]


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
    return expectations.difference(expect, predictions)


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
        return load(options.model, scratch / "model", options.limits)
    except UnsafeArtefact:
        raise
    except Exception as error:
        raise GoldenFailed(f"the model does not load: {type(error).__name__}: {error}") from error


def judge_answers(folder: Path, cases: Sequence[Mapping[str, Any]], refusals: int) -> list[dict[str, Any]]:
    """Judge what a batch transform answered.

    Args:
        refusals: How many of the cases that expect a refusal are left to the endpoint.

    Raises:
        GoldenFailed: An answer is missing, or is none.
    """
    try:
        answers = read_answers(folder)
    except BadPredictions as error:
        raise GoldenFailed(str(error)) from error
    left = [number for number, case in enumerate(cases) if expects_a_refusal(case)]
    return [
        _left(case, left.index(number), refusals)
        if number in left
        else judge(case, answers.get(number), "there is no answer")
        for number, case in enumerate(cases)
    ]


def _left(case: Mapping[str, Any], place: int, refusals: int) -> dict[str, Any]:
    """A case that expects a refusal: a batch transform ends at the first request that is refused."""
    about = {"name": case["name"], "request": case["request"], "predictions": None, "refused": None, "passed": None}
    if place < refusals:
        return {
            **about,
            "refusal": case["expect"]["refused"],
            "reason": "left to the endpoint, which is asked after it",
        }
    let = f"the alarms of the endpoint let {refusals} be asked there" if refusals else "nor does the endpoint"
    return {**about, "reason": f"not asked: a batch transform does not go on after a refusal; {let}"}


def run(options: Options, scratch: Path) -> None:
    """Answer every case, write the document, and fail if a case does.

    Raises:
        UnsafeArtefact: The archive is refused, or it is not the model that was evaluated.
        BadGolden: See :func:`read_cases`.
        GoldenFailed: The model does not load, or a case went otherwise than expected.
    """
    cases = read_cases(options.golden)
    artefact, answered = _answered(options, scratch, cases)
    failed = [f"{case['name']}: {case['reason']}" for case in answered if case["passed"] is False]
    document = {"model": {"sha256": artefact.sha256}, "passed": not failed, "cases": answered}
    write_json(options.output, "golden.json", document)
    if failed:
        raise GoldenFailed(f"{len(failed)} of {len(cases)} cases: {'; '.join(failed)}")


def _answered(
    options: Options, scratch: Path, cases: Sequence[Mapping[str, Any]]
) -> tuple[Artefact, list[dict[str, Any]]]:
    if options.answers is not None:
        artefact = open_foreign(archive_in(options.model), scratch / "model", options.limits)
        _require_digest(artefact, options.model_sha256)
        return artefact, judge_answers(options.answers, cases, options.refusals)
    model = load_to_answer(options, scratch)
    _require_digest(model.artefact, options.model_sha256)
    return model.artefact, [answer(model, case) for case in cases]


def _require_digest(artefact: Artefact, sha256: str | None) -> None:
    if sha256 is not None and artefact.sha256 != sha256:
        raise UnsafeArtefact(f"digest is {artefact.sha256}; the evaluated model's is {sha256}")


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch))
