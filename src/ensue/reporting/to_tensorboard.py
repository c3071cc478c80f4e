"""A run as event files for TensorBoard: learning curves by epoch, figures of the test, and the settings.

They are written by tensorboardX, which needs neither torch nor TensorBoard itself.
"""

from __future__ import annotations

from pathlib import Path

from ensue.errors import ConfigError, MissingExtraError
from ensue.reporting.origin import configuration
from ensue.reporting.reading import Run
from ensue.reporting.standing import verdict
from ensue.reporting.tracked import tracked
from ensue.tracks import track_in


def to_tensorboard(run: Run, folder: str | Path) -> list[Path]:
    """Writes the events of each model into a folder of its own, those of two tracks apart; what was there before stays.

    Args:
        run: what is written.
        folder: what `tensorboard --logdir` is told.

    Returns:
        The folders.

    Raises:
        MissingExtraError: tensorboardX is not installed.
        ConfigError: the folder cannot be written to.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as fault:
        raise MissingExtraError(
            "Event files are written by tensorboardX, which is missing: pip install 'ensue[tensorboard]'."
        ) from fault
    places, parted = [], len(run.tracks) > 1
    for rung in run.rungs:
        place = Path(folder) / run.name / (track_in(rung) if parted else "") / rung["label"]
        try:
            writer = SummaryWriter(str(place))
        except OSError as fault:
            raise ConfigError(f"{place} cannot be written: {fault.strerror}.") from fault
        with writer:
            for name, value, step in tracked(rung):
                writer.add_scalar(name, value, step)
            for name, curve in (rung["test"].get("curves") or {}).items():
                for k, value in enumerate(curve, 1):
                    writer.add_scalar(f"cut-offs/{name}", value, k)
            writer.add_text("verdict", verdict(run), 0)
            writer.add_text("configuration", f"```toml\n{configuration(run.content['experiment'])}```", 0)
        places.append(place)
    return places
