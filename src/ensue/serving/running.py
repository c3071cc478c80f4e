"""The service as processes: one port, any number of workers, an end that waits for what has begun."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import uvicorn

from ensue.errors import ConfigError, EnsueError
from ensue.serving.application import application
from ensue.serving.patience import Patient
from ensue.serving.settings import Settings, checked, settings_of

SETTINGS, REQUESTS = "ENSUE_SERVE_SETTINGS", "ENSUE_SERVE_LOG_REQUESTS"
"""The variables by which workers are told how they are set up; they hold no key."""

GRACE = 15
"""Seconds for what has begun when the service is told to end."""

told = logging.getLogger("ensue.serving")


def worker() -> Any:
    """The application of a worker process; one that cannot be set up ends all, since the next could not either."""
    from uvicorn.config import STARTUP_FAILURE

    _logging(os.environ.get(REQUESTS) == "1")
    try:
        return application(settings_of(json.loads(os.environ[SETTINGS])))
    except EnsueError as fault:
        told.error("%s", fault)
        sys.exit(STARTUP_FAILURE)


def run(
    settings: Settings, log_requests: bool = False, say: Callable[[int], None] = lambda port: None
) -> None:
    """Serves until it is told to stop; what has begun is ended first.

    Args:
        settings: how it is set up.
        log_requests: whether each request is logged, by its route, status and time alone.
        say: is told the port once nothing that can be known before stands in the way.

    Raises:
        EnsueError: it cannot be set up.
    """
    checked(settings)
    port = free(settings.host, settings.port)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": port,
        "http": Patient,
        "ws": "none",
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": GRACE,
        "backlog": 512,
    }
    _logging(log_requests)
    if settings.workers == 1:
        app = application(settings)
        say(port)
        uvicorn.run(app, **options)
        return
    say(port)
    os.environ[SETTINGS] = json.dumps(asdict(settings))
    os.environ[REQUESTS] = "1" if log_requests else "0"
    if sys.platform != "win32":
        options["loop"] = "ensue.serving.sharing:SharingLoop"
    uvicorn.run("ensue.serving.running:worker", factory=True, workers=settings.workers, **options)


def free(host: str, port: int) -> int:
    """The port, or a free one for 0, once it is known that nobody listens there.

    Raises:
        ConfigError: somebody does, or there is no such address here.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host.strip("[]"), port))
            return int(found.getsockname()[1])
    except OSError as fault:
        raise ConfigError(
            f"{host}:{port} cannot be listened at ({fault.strerror or fault}): give another --port or --host."
        ) from fault


def _logging(log_requests: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("ensue.serving.requests").setLevel(logging.INFO if log_requests else logging.ERROR)
