"""The server inside a local model container: answers ``/ping`` and ``/invocations`` with the user's functions.

It runs in the job interpreter and imports nothing but the standard library, the user's script and what that imports.
The script (``SAGEMAKER_PROGRAM`` in the ``code`` folder of the model) may define, as in AWS's framework images:

- ``model_fn(model_dir)``: load the model,
- ``input_fn(body, content_type)``, ``predict_fn(data, model)``, ``output_fn(prediction, accept)``,
- or ``transform_fn(model, body, content_type, accept)`` in place of the three.

An exception with an integer ``status_code`` is answered with that status, a ``ValueError`` of ``input_fn`` with 400,
any other with 500 and a traceback in the log. One request at a time is worked on, as in one worker of the real server.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

_JSON = "application/json"
_CSV = "text/csv"
_TEXTS = (_JSON, _CSV)
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"

Answer = tuple[bytes, str]


class Refused(Exception):
    """A request that the model does not answer, with the status that says whose fault it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Functions:
    """The user's functions, or what the framework image does in their place."""

    load: Callable[[str], Any]
    read: Callable[[Any, str], Any]
    predict: Callable[[Any, Any], Any]
    write: Callable[[Any, str], Any]
    transform: Callable[[Any, Any, str, str], Any] | None


def functions_of(module: ModuleType | None) -> Functions:
    """Collect the functions of the user's script; without one, those for a plain xgboost model."""
    return Functions(
        load=getattr(module, "model_fn", _load_booster),
        read=getattr(module, "input_fn", _read),
        predict=getattr(module, "predict_fn", _predict),
        write=getattr(module, "output_fn", _write),
        transform=getattr(module, "transform_fn", None),
    )


def load_script(code: Path, program: str) -> ModuleType:
    """Import the user's script, with its folder on the path for what it imports."""
    path = code / program
    if not path.is_file():
        raise FileNotFoundError(f"SAGEMAKER_PROGRAM {program} is not in the model archive below {code.name}/")
    sys.path.insert(0, str(code))
    name = path.stem.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{program} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- what a framework image does when the script leaves a function out


def _load_booster(model_dir: str) -> Any:
    import xgboost

    files = [path for path in sorted(Path(model_dir).iterdir()) if path.suffix in (".ubj", ".json", ".model")]
    if len(files) != 1:
        raise FileNotFoundError(f"expected one model file (.ubj, .json or .model) in the archive, found {len(files)}")
    return xgboost.Booster(model_file=str(files[0]))


def _read(body: Any, content_type: str) -> Any:
    if content_type == _JSON:
        return json.loads(body)
    if content_type == _CSV:
        return [[float(cell) for cell in line.split(",")] for line in body.splitlines() if line.strip()]
    raise Refused(415, f"content type {content_type!r} is not supported: {', '.join(_TEXTS)} are")


def _predict(data: Any, model: Any) -> Any:
    import numpy
    import xgboost

    if isinstance(model, xgboost.Booster):
        return model.inplace_predict(numpy.asarray(data, dtype=float))
    return model.predict(data)


def _write(prediction: Any, accept: str) -> Any:
    rows = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if accept == _CSV:
        cells = [row if isinstance(row, list) else [row] for row in rows]
        return "\n".join(",".join(str(cell) for cell in row) for row in cells)
    if accept == _JSON:
        return json.dumps(rows)
    raise Refused(406, f"accept {accept!r} is not supported: {', '.join(_TEXTS)} are")


# -- answering


class Model:
    """A loaded model with its functions."""

    def __init__(self, functions: Functions, model_dir: str, default_accept: str) -> None:
        self._functions = functions
        self._default_accept = default_accept
        self._lock = threading.Lock()
        self._model = functions.load(model_dir)

    def answer(self, body: bytes, content_type: str, accept: str) -> Answer:
        """Answer one request.

        Raises:
            Refused: It cannot be answered.
        """
        wanted = self._default_accept if accept in ("", "*/*") else accept
        with self._lock:
            try:
                result = self._run(body, content_type, wanted)
            except Refused:
                raise
            except Exception as error:
                raise _refusal(error, 500) from error
        return _encoded(result, wanted)

    def _run(self, body: bytes, content_type: str, accept: str) -> Any:
        functions = self._functions
        if functions.transform is not None:
            text = self._input(lambda: _decoded(body, content_type))
            return functions.transform(self._model, text, content_type, accept)
        data = self._input(lambda: functions.read(_decoded(body, content_type), content_type))
        return functions.write(functions.predict(data, self._model), accept)

    @staticmethod
    def _input(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ValueError as error:
            raise _refusal(error, 400) from error


def _decoded(body: bytes, content_type: str) -> Any:
    return body.decode("utf-8") if content_type in _TEXTS else body


def _refusal(error: Exception, status: int) -> Refused:
    """The status that the error itself asks for, or ``status``."""
    asked = getattr(error, "status_code", None)
    chosen = asked if isinstance(asked, int) and 400 <= asked < 600 else status
    if chosen >= 500:
        traceback.print_exception(error)
    return Refused(chosen, str(error) or type(error).__name__)


def _encoded(result: Any, accept: str) -> Answer:
    body, content_type = result if isinstance(result, tuple) else (result, accept)
    if isinstance(body, str):
        return body.encode(), content_type
    if isinstance(body, (bytes, bytearray)):
        return bytes(body), content_type
    return json.dumps(body).encode(), content_type


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    model: Model

    def do_GET(self) -> None:
        """Answer ``/ping``: it listens, so its model is loaded."""
        self._send(200 if self.path == "/ping" else 404, b"", _JSON)

    def do_POST(self) -> None:
        """Answer ``/invocations``."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/invocations":
            self._send(404, b"", _JSON)
            return
        content_type = self.headers.get("Content-Type", _JSON).partition(";")[0].strip()
        try:
            answer, kind = self.model.answer(body, content_type, self.headers.get("Accept", ""))
            self._send(200, answer, kind)
        except Refused as refusal:
            self._send(refusal.status, str(refusal).encode(), "text/plain")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if _ATTRIBUTES in self.headers:
            self.send_header(_ATTRIBUTES, self.headers[_ATTRIBUTES])
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the log."""


class Server(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface; a thread per connection."""

    daemon_threads = True
    request_queue_size = 128


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True, help="where to write the port once it listens")
    return parser.parse_args()


def _announce(port: int, file: Path) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(str(port))
    draft.replace(file)


def main() -> None:
    """Load the model, then listen until SIGTERM."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    started = time.monotonic()
    program = os.environ.get("SAGEMAKER_PROGRAM")
    code = Path(os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or arguments.model_dir / "code")
    module = load_script(code, program) if program else None
    accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", _JSON)
    Handler.model = Model(functions_of(module), str(arguments.model_dir), accept)
    server = Server(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"model loaded in {time.monotonic() - started:.2f} s\n")
    _announce(server.server_address[1], arguments.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
