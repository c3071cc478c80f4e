"""`ensue models`: what there is to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ensue.cli.options import Json

if TYPE_CHECKING:
    from ensue.model import Model


def models(as_json: Json = False) -> None:
    """List the models with their settings."""
    from ensue.cli import terminal
    from ensue.model import models as known

    found = [known.get(name) for name in known.names()]
    missing = known.missing()
    if as_json:
        rows = [
            {"model": kind.name, "summary": kind.summary, "settings": kind().settings()} for kind in found
        ]
        lacking = [{"module": one.module, "needs": one.library, "remedy": one.remedy} for one in missing]
        terminal.emit({"models": rows, "missing": lacking})
        return
    made = terminal.table(("model", {"no_wrap": True}), "what it is, and its settings with their defaults")
    for kind in found:
        terminal.row(made, [kind.name, f"{kind.summary}\n{_settings(kind())}"])
    terminal.show(made)
    terminal.out()
    for one in missing:
        terminal.out(f"Not here: {one.module.rpartition('.')[2]} needs {one.library}: {one.remedy}")
    terminal.out("Try one: ensue run LOG --models markov; ensue train LOG --model markov --set NAME=VALUE")


def _settings(model: Model) -> str:
    values: dict[str, Any] = model.settings()
    return ", ".join(f"{name}={_written(value)}" for name, value in values.items()) or "no settings"


def _written(value: Any) -> str:
    """A value as --set takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
