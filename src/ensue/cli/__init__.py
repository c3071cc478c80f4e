"""The command line: `ensue VERB ...`, one file per verb, each thin.

Standard output has results only (with --json nothing but JSON); what is said on the way goes to standard error.
Exit status: 0 done, 1 a fault of ensue, 2 a mistake that the user can mend, 130 interrupted, 141 nobody reads on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

DEBUG = "--debug"

MEMORY = {
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:1000,muzzy_decay_ms:0",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
}
"""What keeps memory small: what polars frees goes back to the system after a second, not after ten, so that a training
does not begin beside all that reading took; and of the kernels that a recurrent network makes for each size of a batch
the last 64 are kept, not the last 1,024 (docs/log.md)."""


def main() -> None:
    """Runs the command of this process and ends it with its status."""
    settle()
    sys.exit(call(sys.argv[1:]))


def settle() -> None:
    """Settings of this process for the libraries below, where the user says nothing else; before they are loaded.

    Threads of a network wait asleep: on a machine with other work, spinning made training on two cores 7 times slower.
    Where the cores are mostly free they stay awake for a moment first, which made it a third faster (docs/log.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if quiet():
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    for name, value in MEMORY.items():
        os.environ.setdefault(name, value)


def quiet() -> bool:
    """Whether the cores of this machine were mostly free during the last minute, where the system tells."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] < (os.cpu_count() or 1) / 2


def call(words: Sequence[str]) -> int:
    """The exit status of one command, once it is done.

    Args:
        words: what stands after `ensue` on the command line.
    """
    from ensue.cli import terminal

    debug = DEBUG in words or os.environ.get("ENSUE_DEBUG", "") not in ("", "0")
    try:
        terminal.prepare()
        status = _invoke([word for word in words if word != DEBUG])
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.abandon()
        return 141
    except KeyboardInterrupt:
        terminal.note("interrupted")
        return 130
    except Exception as fault:  # noqa: BLE001 - the one place where everything ends
        if debug:
            import traceback

            terminal.note(traceback.format_exc().rstrip())
        return terminal.failed(fault)
    return status


def _invoke(words: list[str]) -> int:
    """Runs typer on the words, without its own ending of the process."""
    import typer

    from ensue.cli.application import app

    command = typer.main.get_command(app)
    if "_ENSUE_COMPLETE" in os.environ:  # a shell asks for completions: typer answers and ends the process
        command.main(prog_name="ensue")
    try:
        with command.make_context("ensue", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return int(end.exit_code)
    return 0
