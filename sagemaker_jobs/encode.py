"""Makes what a built-in algorithm reads of the splits of a dataset, and the archive of the adapters around it.

Arguments: ``--train`` and ``--validation`` (folders with the Parquet files of the splits), ``--algorithm``,
``--problem``, ``--target`` (left out for problems without one), ``--request``, ``--answer``, ``--format`` (``csv``,
``parquet``, ``records``, ``text`` or ``table``), ``--missing`` (``nan`` or ``mean``), ``--keep`` (components that a
projection answers), ``--below`` (the channel that both splits lie in; left out where each is one), ``--categories``
(``numbers`` or ``codes``), ``--output`` and ``--message``.

With ``--code`` (a folder with the bundle's ``sourcedir.tar.gz``) the workload's ``adapters.py`` writes the channels by
``encode(splits, output)`` in place of this job, where ``splits`` are the folders of the splits by name.

What is learned (means, categories, classes) is learned from the training split alone. Writes to the output folder::

    train/data.<format>, validation/data.<format>    the channels: target first, no header but in a table
    <below>/train/…, <below>/validation/…    or, with --below, the folders of the one channel, codes of classes whole
    <below>/categorical_index.json    {"cat_index_list": [columns that hold codes, counted from the target]}, if any
    adapters/model.tar.gz    the code of both adapters and encoding.json
    encoded.json    {"hyperparameters", "rows": {split: n}, "left_out": {split: n}, "adapters_sha256"}

``hyperparameters`` are texts: those of an algorithm that follow from the encoded split. Rows of the validation split
whose class the training split does not have are left out and counted, and so are rows of both without a target or with
one that is not finite. Equal input gives equal bytes.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import gapless_encoding
from gapless_encoding import FILE, Encoding
from gapless_sagemaker import formats
from gapless_sagemaker.archive import pack, read_source
from gapless_sagemaker.job import Arguments, write_json

OWN = f"{gapless_encoding.OWN}.py"
RESULT = "encoded.json"
COLUMNS = "categorical_index.json"
MOST_CATEGORIES = 64
"""Categories of a feature that get a number of their own, the most frequent ones; the others count as none of them."""

_BATCH_ROWS = 10_000
_LARGEST_MINI_BATCH = 500


class BadSplit(Exception):
    """A split cannot be encoded: no rows, no target, or a column that no number can be made of."""


class BadAdapters(Exception):
    """The workload's ``adapters.py`` is missing, or lacks a function."""


@dataclass(frozen=True)
class Options:
    """The arguments of the job."""

    train: Path
    validation: Path
    algorithm: str
    problem: str
    target: str | None
    request: str
    answer: str
    format: str
    missing: str
    keep: int | None
    code: Path | None
    below: str | None
    categories: str
    output: Path

    @property
    def splits(self) -> dict[str, Path]:
        """The folders of the splits."""
        return {"train": self.train, "validation": self.validation}

    @property
    def channels(self) -> Path:
        """Where the folders of the encoded splits lie."""
        return self.output / self.below if self.below is not None else self.output


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments.

    Raises:
        BadArguments: One is unknown or missing.
    """
    parser = Arguments("encode the splits")
    for name in ("train", "validation", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("algorithm", "problem", "request", "answer"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--target")
    parser.add_argument("--format", choices=sorted(formats.WRITERS), default="csv")
    parser.add_argument("--missing", choices=("nan", "mean"), default="mean")
    parser.add_argument("--keep", type=int)
    parser.add_argument("--code", type=Path)
    parser.add_argument("--below")
    parser.add_argument("--categories", choices=("numbers", "codes"), default="numbers")
    given = vars(parser.parse_args(list(arguments)))
    del given["message"]
    return Options(**given)


def read_split(folder: Path) -> pa.Table:
    """Read every Parquet file below a folder, in the order of their metadata columns, which are left out.

    Raises:
        BadSplit: There is no file.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise BadSplit(f"the split {folder.name} has no Parquet files")
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    metadata = sorted(name for name in table.column_names if name.startswith("_"))
    ordered = table.sort_by([(name, "ascending") for name in metadata]) if metadata else table
    return ordered.drop_columns(metadata)


def learn(table: pa.Table, options: Options) -> dict[str, Any]:
    """Learn an encoding from the training split.

    Raises:
        BadSplit: It has no target, or a column of a type that no number can be made of.
    """
    if options.target is not None and options.target not in table.column_names:
        raise BadSplit(f"target missing: {options.target}; given are {', '.join(table.column_names)}")
    names = [name for name in table.column_names if name != options.target]
    if not names:
        raise BadSplit("the split train has no features")
    as_text = options.request in ("texts", "cells")
    return {
        "algorithm": options.algorithm,
        "problem": options.problem,
        "request": options.request,
        "answer": options.answer,
        "features": [_feature(name, table[name], options, as_text=as_text) for name in names],
        "missing": options.missing,
        "classes": _classes(table, options),
        "kept": options.keep,
    }


def _feature(name: str, column: pa.ChunkedArray, options: Options, *, as_text: bool) -> dict[str, Any]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        told = "code" if options.categories == "codes" else "category"
        return {"name": name, "type": "text"} if as_text else _category(name, column, told)
    if pa.types.is_boolean(kind):
        return {"name": name, "type": "boolean", **_spread(column)}
    if pa.types.is_integer(kind):
        return {"name": name, "type": "integer", **_spread(column)}
    if pa.types.is_floating(kind):
        return {"name": name, "type": "number", **_spread(column)}
    raise BadSplit(f"feature {name} is {kind}; allowed are numbers, strings and booleans")


def _spread(column: pa.ChunkedArray) -> dict[str, Any]:
    """Mean and scale (population standard deviation; 1 where it is zero) of the values there are."""
    values = column.cast(pa.float64()).to_numpy()
    there = values[np.isfinite(values)]
    scale = float(there.std()) if len(there) else 0.0
    return {
        "mean": float(there.mean()) if len(there) else 0.0,
        "scale": scale if scale > 0 else 1.0,
        "gaps": len(there) < len(values),
    }


def _category(name: str, column: pa.ChunkedArray, told: str) -> dict[str, Any]:
    counts = pc.value_counts(column.drop_null()).to_pylist()
    by_frequency = sorted(counts, key=lambda each: (-each["counts"], each["values"]))
    return {
        "name": name,
        "type": told,
        "categories": sorted(each["values"] for each in by_frequency[:MOST_CATEGORIES]),
    }


def _classes(table: pa.Table, options: Options) -> list[Any]:
    if options.target is None or options.problem == "regression":
        return []
    if options.problem == "binary_classification":
        return [False, True]
    return sorted(value for value in pc.unique(table[options.target]).to_pylist() if value is not None)


def encode_split(table: pa.Table, encoding: Encoding, options: Options, target: Path) -> int:
    """Write one channel.

    Returns:
        How many rows were left out, since the encoding does not know their class or they have no target: a number
        that is not finite is missing, as in datasets.

    Raises:
        BadSplit: The target of a regression is no number.
    """
    known = table if options.target is None else table.filter(_is_known(table[options.target], encoding))
    target.parent.mkdir(parents=True, exist_ok=True)
    formats.WRITERS[options.format](target, _labelled(known, encoding, options))
    return int(table.num_rows - known.num_rows)


def _is_known(column: pa.ChunkedArray, encoding: Encoding) -> pa.ChunkedArray:
    if not encoding["classes"]:
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise BadSplit(f"the target of a regression is {column.type}; allowed are numbers")
        return pc.fill_null(pc.is_finite(column), False)
    return pc.is_in(column, value_set=pa.array(encoding["classes"], type=column.type))


def _labelled(table: pa.Table, encoding: Encoding, options: Options) -> Iterator[formats.Rows]:
    codes = gapless_encoding.code_of(encoding)
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        rows = [_without_nan(row) for row in batch.to_pylist()]
        labels = None
        if options.target is not None:
            values = [row.pop(options.target) for row in rows]
            number = int if codes and options.below is not None else float
            labels = [number(codes[value] if codes else value) for value in values]
        if options.request == "texts":
            name = encoding["features"][0]["name"]
            yield formats.Rows(labels, texts=[gapless_encoding.words(row[name]) for row in rows])
        elif options.request == "cells":
            names = [str(options.target), *(feature["name"] for feature in encoding["features"])]
            yield formats.Rows(labels, cells=gapless_encoding.cells_of(encoding, rows), names=names)
        else:
            yield formats.Rows(labels, vectors=gapless_encoding.encode_rows(encoding, rows))


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}


def columns_with_codes(encoding: Encoding) -> list[int]:
    """Which columns of an encoded split hold codes of categories; the target is column 0."""
    found, at = [], 1
    for feature, (_, encode) in zip(encoding["features"], gapless_encoding.encoders(encoding), strict=True):
        if feature["type"] == "code":
            found.append(at)
        at += len(encode(None))
    return found


def hyperparameters_of(encoding: Encoding, rows: int) -> dict[str, str]:
    """What follows from the encoded training split, by the names that algorithms give to it."""
    classes, dimension = len(encoding["classes"]), str(gapless_encoding.width(encoding))
    return {
        "feature_dim": dimension,
        "num_class": str(classes),
        "num_classes": str(classes),
        "num_components": dimension,
        "sample_size": str(rows),
        "mini_batch_size": str(min(rows, _LARGEST_MINI_BATCH)),
    }


def run(options: Options) -> Mapping[str, Any]:
    """Encode both splits, or have the workload do it; write and give the document."""
    if options.code is not None:
        return _run_own(options, options.code)
    tables = {name: read_split(folder) for name, folder in options.splits.items()}
    encoding = learn(tables["train"], options)
    left_out = {
        name: encode_split(table, encoding, options, options.channels / name / f"data.{options.format}")
        for name, table in tables.items()
    }
    coded = columns_with_codes(encoding) if options.categories == "codes" else []
    if coded:
        write_json(options.channels, COLUMNS, {"cat_index_list": coded})
    rows = {name: table.num_rows - left_out[name] for name, table in tables.items()}
    empty = [name for name, count in rows.items() if not count]
    if empty:
        raise BadSplit(f"the split {empty[0]} has no rows to encode; {left_out[empty[0]]} were left out")
    numbers = {} if options.request in ("texts", "cells") else hyperparameters_of(encoding, rows["train"])
    return _finish(options, encoding, {"hyperparameters": numbers, "rows": rows, "left_out": left_out}, {})


def _run_own(options: Options, code: Path) -> Mapping[str, Any]:
    source = read_source(code, OWN)
    if source is None:
        raise BadAdapters(f"the bundle has no {OWN}, which {options.algorithm} needs")
    tables = {name: read_split(folder) for name, folder in options.splits.items()}
    encoding = learn(tables["train"], options)
    with tempfile.TemporaryDirectory() as folder:
        _import_own(source, Path(folder), options.algorithm).encode(options.splits, options.output)
    rows = {name: table.num_rows for name, table in tables.items()}
    return _finish(options, encoding, {"hyperparameters": {}, "rows": rows, "left_out": {}}, {OWN: source})


def _import_own(source: bytes, folder: Path, algorithm: str) -> Any:
    path = folder / OWN
    path.write_bytes(source)
    spec = importlib.util.spec_from_file_location("adapters", path)
    assert spec is not None and spec.loader is not None  # noqa: S101 - it is a Python file
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapters"] = module
    spec.loader.exec_module(module)
    missing = [name for name in ("encode", "request", "answer") if not callable(getattr(module, name, None))]
    if missing:
        raise BadAdapters(f"{OWN} lacks {', '.join(missing)}; {algorithm} needs encode, request and answer")
    return module


def _finish(
    options: Options, encoding: Encoding, facts: dict[str, Any], more_code: Mapping[str, bytes]
) -> Mapping[str, Any]:
    files = {
        FILE: json.dumps(encoding, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8"),
        **{f"code/{name}.py": _source_of(name) for name in gapless_encoding.MODULES},
        **{f"code/{name}": data for name, data in more_code.items()},
    }
    pack(options.output / "adapters" / "model.tar.gz", files)
    document = {**facts, "adapters_sha256": gapless_encoding.digest(files)}
    write_json(options.output, RESULT, document)
    return document


def _source_of(module: str) -> bytes:
    """The text of a module that lies beside this one, in a folder or in the zip that runs."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.loader is not None  # noqa: S101 - it is imported above
    source: str = spec.loader.get_source(module)  # type: ignore[attr-defined]
    return source.encode("utf-8")


def main(arguments: Sequence[str]) -> None:
    """Run the job."""
    run(parse_options(arguments))
