"""Puts the script that serves a model into the model's archive, as SageMaker's framework images look for it.

Arguments: ``--model`` (a folder with the model's archive), ``--code`` (a folder with the script's archive),
``--output`` and ``--message``. With ``--allow_pickle`` the model's archive may hold pickles; the script's never may.

Writes ``<output>/model.tar.gz``: the model's files, and those of the script below ``code/``. Equal input gives equal
bytes. Nothing of either archive is loaded; both are unpacked in a confined way and judged by content.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gapless_sagemaker.archive import pack
from gapless_sagemaker.artefact import Artefact, Limits, UnsafeArtefact, archive_in, open_foreign
from gapless_sagemaker.job import Arguments

CODE = "code"
PROGRAM = f"{CODE}/inference.py"


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    model: Path
    code: Path
    output: Path
    allow_pickle: bool = False


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("put the script that serves a model into its archive")
    for name in ("model", "code", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--allow_pickle", action="store_true")
    given = vars(parser.parse_args(list(arguments)))
    del given["message"]
    return Options(**given)


def packed(model: Artefact, code: Artefact) -> dict[str, bytes]:
    """Give the files of the packed archive: path to content.

    Raises:
        UnsafeArtefact: The model has a folder for the script already, or the script's archive has no program.
    """
    own = [file.path for file in model.files if file.path.partition("/")[0] == CODE]
    if own:
        raise UnsafeArtefact(f"the model brings {own[0]}; allowed is {CODE}/ from the script's archive alone")
    files = {f"{CODE}/{name}": data for name, data in _contents(code).items()}
    if PROGRAM not in files:
        raise UnsafeArtefact(
            f"the script's archive has no inference.py; in it are {', '.join(sorted(_contents(code)))}"
        )
    return {**_contents(model), **files}


def run(options: Options) -> None:
    """Pack model and script."""
    with tempfile.TemporaryDirectory() as scratch:
        model = open_foreign(archive_in(options.model), Path(scratch, "model"), Limits(pickles=options.allow_pickle))
        code = open_foreign(archive_in(options.code), Path(scratch, "code"))
        pack(options.output / "model.tar.gz", packed(model, code))


def _contents(artefact: Artefact) -> dict[str, bytes]:
    return {file.path: (artefact.directory / file.path).read_bytes() for file in artefact.files}


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    run(parse_options(arguments))
