"""Runs the local server: ministack's application with our services, on one loopback port, until SIGTERM."""

from __future__ import annotations

import asyncio
import asyncio.constants
import importlib
import json
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.server import clock, hooks
from local.server.bridge import Ministack
from local.server.children import Children
from local.server.host import Credentials, Host, Settings

log = logging.getLogger("gapless.launcher")

PLUGINS = (
    "local.server.conditions",
    "local.server.s3",
    "local.server.lambdas",
    "local.server.cloudformation",
    "local.server.events",
    "local.server.schedules",
    "local.server.alarms",
    "local.server.step_functions",
    "local.server.lake_formation",
    "local.server.glue",
    "local.server.athena",
    "local.server.firehose",
    "local.server.log_streams",
    "local.server.embedded_metrics",
    "local.server.rest_apis",
    "local.server.sqs",
    "local.server.ecr",
    "local.server.codebuild",
    "local.server.codedeploy",
    "local.server.sagemaker",
    "local.server.autoscaling",
    "local.server.passing",
    "local.server.neighbours",
)
"""Modules with ``register(host)``, in the order in which they are called."""

_OPEN_PATHS = ("/_ministack/health", "/_ministack/cfn-response/", "/_ministack/cfn-signal/")
_CALLBACK_SECONDS = 5.0
_SERVICE_THREADS = 64
_GOODBYE_SECONDS = 0.5
"""How long a client that keeps its connection open may take to answer the end of TLS when the server stops."""

Scope = dict[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


def run(settings: Settings, root: Credentials) -> None:
    """Serve until SIGTERM or SIGINT, then stop every child and save the state."""
    _raise_file_limit()
    clock.follow(settings.clock_file)
    children = Children()
    try:
        host = Host(settings, root, Ministack(root, settings.account), children)
        _register_plugins(host)
        asyncio.run(_serve(host, root, children))
    finally:
        children.close()
        (settings.state_dir / "server.json").unlink(missing_ok=True)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _register_plugins(host: Host) -> None:
    for name in PLUGINS:
        importlib.import_module(name).register(host)


async def _serve(host: Host, root: Credentials, children: Children) -> None:
    settings = host.settings
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # services call each other through this server: with a thread per core they would wait for one another for ever
    loop.set_default_executor(ThreadPoolExecutor(_SERVICE_THREADS, "service"))
    asyncio.constants.SSL_SHUTDOWN_TIMEOUT = _GOODBYE_SECONDS
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    application = _with_lifecycle(_guarded(hooks.get("app:app")), host, root)

    async def stopped() -> None:
        await stop.wait()
        await loop.run_in_executor(None, _within, _CALLBACK_SECONDS, host.shut_down)
        await loop.run_in_executor(None, children.kill_all)

    await serve(application, _config(settings), shutdown_trigger=stopped)


def _config(settings: Settings) -> Config:
    config = Config()
    config.bind = [f"127.0.0.1:{settings.port}"]
    tls = settings.ca_file.parent
    config.certfile, config.keyfile = str(tls / "server.pem"), str(tls / "server.key")
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.shutdown_timeout = 30
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    for logger in (config.errorlog, logging.getLogger("asyncio")):
        logger.addFilter(_is_worth_a_line)
    return config


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """A client that is gone before TLS has ended is nobody's trouble."""
    return not (record.exc_info and isinstance(record.exc_info[1], TimeoutError | ConnectionError))


def _guarded(app: App) -> App:
    """Close ministack's administrative paths: they need no credentials, and reset and look into everything."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith(("/_ministack", "/_localstack", "/_aws")) and not path.startswith(_OPEN_PATHS):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return application


def _with_lifecycle(app: App, host: Host, root: Credentials) -> App:
    """Write ``server.json`` and call the plug-ins back as soon as the saved state is loaded."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        async def announce(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                threading.Thread(target=_announce, args=(host, root), name="ready", daemon=True).start()

        await app(scope, receive, announce if scope["type"] == "lifespan" else send)

    return application


def _announce(host: Host, root: Credentials) -> None:
    _wait_until_listening(host.settings.port)
    host.ready()
    _write_server_file(host.settings, root)
    log.info("ready at %s", host.settings.endpoint)


def _wait_until_listening(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def _write_server_file(settings: Settings, root: Credentials) -> None:
    document = {
        "endpoint": settings.endpoint,
        "port": settings.port,
        "pid": os.getpid(),
        "account": settings.account,
        "region": settings.region,
        "ca_file": str(settings.ca_file),
        "credentials": {"access_key_id": root.access_key, "secret_access_key": root.secret_key},
    }
    path = settings.state_dir / "server.json"
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(document, indent=2))
    draft.replace(path)


def _within(seconds: float, function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function, name="shutdown", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("a plug-in took longer than %s s to stop", seconds)
