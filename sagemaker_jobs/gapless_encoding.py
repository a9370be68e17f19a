"""How the features of a row become the numbers that an algorithm reads.

The ``encode`` job learns an encoding from the training split (see ``encode.py``); the adapters in front of and behind
an algorithm use it for each request, so that both see a row in the same way. It is kept as JSON::

    {"algorithm", "problem", "request", "answer", "features": [{"name", "type", …}], "missing", "classes", "kept"}

- ``request``, ``answer``: what the algorithm reads and answers, by the names of ``request_adapter.WRITERS`` and
  ``answer_adapter.READERS``;
- ``features``: ``type`` is ``boolean``, ``integer``, ``number`` (each with ``mean`` and ``scale``, and ``gaps``:
  whether the training split lacks values), ``category`` or ``code`` (with ``categories``: one number for each of
  them, or one number that says which, 0 for none of them) or ``text``;
- ``missing``: ``nan`` (a missing number stays missing, and numbers are left as they are) or ``mean`` (numbers are
  centred and scaled, a missing one becomes the mean; features with gaps get one more number that says so);
- ``classes``: the target's values in the order of their codes, for problems that have classes;
- ``kept``: how many components of a projection are answered, for problems that have a projection.

It needs nothing but Python, since it is packed beside models and runs in whichever image serves them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

JSON = "application/json"
FILE = "encoding.json"
MODULES = ("gapless_encoding", "request_adapter", "answer_adapter")
OWN = "adapters"
"""The workload's own module, beside those of the platform."""

DIGEST = "GAPLESS_ADAPTERS_SHA256"
"""The environment variable that says which files the adapters have to be."""

Encoding = Mapping[str, Any]
Numbers = tuple[float, ...]
Encoder = Callable[[Any], Numbers]

_LARGEST = 3.4028234663852886e38
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_WORD = re.compile(r"\w+|[^\w\s]")
_ALLOWED = {
    "boolean": "true, false or null",
    "integer": "a whole number or null",
    "number": "a finite number of 32 bits or null",
    "category": "a string or null",
    "code": "a string or null",
    "text": "a string or null",
}

try:  # inside the serving image: its server gives the status of such an error to the client
    from sagemaker_inference.errors import BaseInferenceToolkitError as _ServingError  # type: ignore[import-not-found]
except ImportError:

    class _ServingError(Exception):  # type: ignore[no-redef]
        """Stands for the serving image's own error class elsewhere."""


try:  # an older serving image asks for an answer instead
    import sagemaker_containers  # type: ignore[import-not-found]  # noqa: F401
    from flask import Response as _Response
except ImportError:
    _Response = None  # type: ignore[assignment,misc]


class BadRequest(_ServingError, ValueError):  # type: ignore[misc]
    """A request that cannot be answered; the client's fault, status 400."""

    def __init__(self, message: str) -> None:
        ValueError.__init__(self, message)
        self.status_code = 400
        self.phrase = "Bad Request"
        self.message = message


class Tampered(Exception):
    """The adapters are not those that were packed for the model."""


def answered(work: Callable[[], Any]) -> Any:
    """Give the result, or the answer to a request that was refused, as the server around expects it."""
    try:
        return work()
    except BadRequest as error:
        if _Response is None:
            raise
        return _Response(str(error), status=error.status_code, mimetype="text/plain")


def load(model_dir: str) -> dict[str, Any]:
    """Read the encoding of an unpacked archive.

    Raises:
        Tampered: Its files are not those that the model was registered with.
    """
    names = [FILE, *(f"code/{module}.py" for module in (*MODULES, OWN))]
    files = {name: Path(model_dir) / name for name in names}
    found = digest({name: path.read_bytes() for name, path in files.items() if path.is_file()})
    expected = os.environ.get(DIGEST, found)
    if found != expected:
        raise Tampered(f"the adapters' files have the digest {found}; registered is {expected}")
    encoding: dict[str, Any] = json.loads(files[FILE].read_text(encoding="utf-8"))
    return encoding


def digest(files: Mapping[str, bytes]) -> str:
    """Give the SHA-256 over a line ``<sha256>  <path>`` per file, sorted by path, as for every model archive."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def read_instances(body: str | bytes, content_type: str) -> list[Any]:
    """Read the instances of a request; what they hold is judged by ``encode_instances``, which knows the features.

    Raises:
        BadRequest: It is not JSON, or not an object with nothing but a non-empty list ``instances``.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise BadRequest(f"content type: given {short(content_type)}; allowed is {JSON}")
    try:
        request = json.loads(body, parse_constant=_refuse_constant)
    except BadRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise BadRequest(f'body: not JSON ({error}); allowed is {{"instances": [...]}}') from error
    if not isinstance(request, dict) or set(request) != {"instances"}:
        given = sorted(request) if isinstance(request, dict) else type(request).__name__
        raise BadRequest(f"body: given {short(given)}; allowed is an object with the one member instances")
    instances = request["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadRequest(f"instances: given {short(instances)}; allowed is a list of at least one instance")
    return instances


def check_instances(encoding: Encoding, instances: Sequence[Any]) -> None:
    """Check that each instance has every feature, none that is unknown, and values of the right types.

    Raises:
        BadRequest: One has not.
    """
    features = encoding["features"]
    names = {feature["name"] for feature in features}
    for row, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise BadRequest(f"instances[{row}]: given {short(instance)}; allowed is an object of features")
        if instance.keys() != names:
            _refuse_names(row, instance, features)
        for feature in features:
            value = instance[feature["name"]]
            if value is not None and not _fits(feature["type"], value):
                allowed = _ALLOWED[feature["type"]]
                raise BadRequest(f"instances[{row}].{feature['name']}: given {short(value)}; allowed is {allowed}")


def encoders(encoding: Encoding) -> list[tuple[str, Encoder]]:
    """Give each feature's name and what makes numbers of its value; ``None`` stands for a missing value."""
    return [(feature["name"], _encoder(feature, encoding["missing"])) for feature in encoding["features"]]


def encode_rows(encoding: Encoding, rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Make each row a vector: the numbers of its features, one after the other."""
    columns = encoders(encoding)
    return [[number for name, encode in columns for number in encode(row[name])] for row in rows]


def cells_of(encoding: Encoding, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Make each row the cells of a table: values as they are, truth values as 1 and 0, nothing for a missing one."""
    names = [feature["name"] for feature in encoding["features"]]
    return [[_cell(row[name]) for name in names] for row in rows]


def width(encoding: Encoding) -> int:
    """How many numbers a row becomes."""
    return sum(len(encode(None)) for _, encode in encoders(encoding))


def words(text: str | None) -> str:
    """A text as words in lower case with blanks between them, as algorithms for texts want it."""
    return " ".join(_WORD.findall((text or "").lower()))


def code_of(encoding: Encoding) -> dict[Any, int]:
    """The code of each class of the target."""
    return {value: code for code, value in enumerate(encoding["classes"])}


def short(value: Any) -> str:
    """Render a value for a message."""
    return _SHORT.repr(value)


def _encoder(feature: Mapping[str, Any], missing: str) -> Encoder:
    if feature["type"] == "category":
        return _one_hot(feature["categories"])
    if feature["type"] == "code":
        return _code(feature["categories"])
    return _number if missing == "nan" else _scaled(feature["mean"], feature["scale"], gaps=feature["gaps"])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value


def _number(value: Any) -> Numbers:
    return (math.nan if value is None else float(value),)


def _scaled(mean: float, scale: float, *, gaps: bool) -> Encoder:
    absent: Numbers = (0.0, 1.0) if gaps else (0.0,)

    def encode(value: Any) -> Numbers:
        if value is None:
            return absent
        number = (float(value) - mean) / scale
        return (number, 0.0) if gaps else (number,)

    return encode


def _one_hot(categories: Sequence[str]) -> Encoder:
    none: Numbers = (0.0,) * len(categories)
    known = {category: (*none[:at], 1.0, *none[at + 1 :]) for at, category in enumerate(categories)}

    def encode(value: Any) -> Numbers:
        return none if value is None else known.get(value, none)

    return encode


def _code(categories: Sequence[str]) -> Encoder:
    codes = {category: code for code, category in enumerate(categories, 1)}
    return lambda value: (codes.get(value, 0),)


def _fits(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("category", "code", "text"):
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        return False
    return kind == "number" or float(value).is_integer()


def _refuse_names(row: int, instance: Mapping[str, Any], features: Sequence[Mapping[str, Any]]) -> None:
    names = [feature["name"] for feature in features]
    allowed = ", ".join(names)
    unknown = sorted(str(name) for name in instance if name not in names)
    if unknown:
        raise BadRequest(f"instances[{row}]: unknown feature {short(unknown[0])}; allowed are {allowed}")
    missing = next(name for name in names if name not in instance)
    raise BadRequest(
        f"instances[{row}]: feature {missing} is missing; give null if it is not known; needed are {allowed}"
    )


def _refuse_constant(constant: str) -> None:
    raise BadRequest(f"body: given the number {constant}; allowed are finite numbers and null")
