"""How likely a click is: a logistic regression on what was known before the ad was shown, calibrated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue.ads import regression
from ensue.ads.calibrating import KINDS, Calibration, Kind
from ensue.ads.columns import Columns
from ensue.ads.history import Past
from ensue.ads.impressions import Impressions
from ensue.calibration import binary_log_loss
from ensue.errors import ConfigError
from ensue.progress import Progress, Silent

Values = NDArray[np.float64]

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 3000.0)
"""From which `l2` is chosen on validation, by log-loss."""


class Estimate(Protocol):
    """Whatever gives impressions a probability of being clicked."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def probabilities(self, frame: pl.DataFrame, past: Past) -> Values:
        """`[E]` probabilities of a click, for rows as in `Impressions.frame`, knowing what lies before each."""
        ...


@dataclass(frozen=True)
class ClickModel:
    """A logistic regression on sparse columns.

    Attributes:
        features: columns that are read; `*` stands for any text.
        without: columns that are not.
        numbers: columns whose text is a number.
        crosses: pairs of columns that are read together, such as "ad x device".
        history: read what the person was shown and clicked before, where the log knows people.
        least: a value that fewer impressions have is not kept.
        l2: the penalty; 0 chooses it on validation, among `PENALTIES`.
        calibration: "platt", "isotonic" or "none", learnt on validation.
        validation: the last share of the training impressions that settings are chosen on, before all are learnt.
    """

    features: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    crosses: tuple[str, ...] = ()
    history: bool = True
    least: int = 5
    l2: float = 0.0
    calibration: Kind = "platt"
    validation: float = 0.2

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(f"The click model: {'; '.join(faults)}.")

    def _faults(self) -> Iterator[str]:
        if self.least < 1:
            yield f"least={self.least} must be 1 or more"
        if not 0 <= self.l2 < float("inf"):
            yield f"l2={self.l2:g} must be 0 (to have it chosen) or a finite number above it"
        if self.calibration not in KINDS:
            yield f"calibration='{self.calibration}' must be one of {', '.join(KINDS)}"
        if not 0 < self.validation < 1:
            yield f"validation={self.validation:g} must be a share between 0 and 1"

    def fit(
        self, impressions: Impressions, past: Past | None = None, progress: Progress | None = None
    ) -> Clicks:
        """What is learnt of training impressions: penalty and calibration on the last of them, weights on all.

        Args:
            impressions: of training.
            past: events before them; None takes those of the impressions themselves.
            progress: told how far it is.

        Raises:
            ConfigError: a column that is named is not there.
            ModelError: nothing was clicked, or everything.
        """
        past = Past.of(impressions) if past is None else past
        earlier, later = impressions.parted(self.validation)
        tried = (self.l2,) if self.l2 else PENALTIES
        with (progress or Silent()).task("click model", len(tried) + 1) as task:
            columns = self._columns(earlier)
            x, held = columns.table(earlier.frame, past), columns.table(later.frame, past)
            found: list[tuple[float, float, Values]] = []
            last: regression.Weights | None = None
            for l2 in reversed(tried):
                last = regression.fitted(x, earlier.clicked, l2, last)
                logits = last.logits(held)
                loss = binary_log_loss(Calibration().probabilities(logits), later.clicked)
                found.append((loss, l2, logits))
                task.advance(note=f"l2 {l2:g}: log-loss {loss:.4f}")
            _, l2, logits = min(found, key=lambda one: (one[0], -one[1]))
            calibration = Calibration.fit(self.calibration, logits, later.clicked)
            columns = self._columns(impressions)
            weights = regression.fitted(columns.table(impressions.frame, past), impressions.clicked, l2)
            task.advance()
        facts = {
            "impressions": len(impressions),
            "clicks": int(impressions.clicked.sum()),
            "l2": l2,
            "validation": [{"l2": one[1], "log_loss": one[0]} for one in found],
        }
        return Clicks(columns, weights, calibration, facts)

    def _columns(self, impressions: Impressions) -> Columns:
        names = ("features", "without", "numbers", "crosses", "history", "least")
        return Columns.fit(impressions, **{name: getattr(self, name) for name in names})

    def settings(self) -> dict[str, Any]:
        """Its settings as plain values."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, eq=False)
class Clicks:
    """What a click model has learnt.

    Attributes:
        columns: how impressions are read.
        weights: of the columns.
        calibration: of the logits.
        facts: of the fit.
    """

    columns: Columns
    weights: regression.Weights
    calibration: Calibration
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How tables call it."""
        return "click model with history" if self.columns.history else "click model"

    def probabilities(self, frame: pl.DataFrame, past: Past) -> Values:
        """`[E]` calibrated probabilities of a click.

        Args:
            frame: `[E]` rows as in `Impressions.frame`; what the model does not read may be absent.
            past: events; those before the time of a row are read.
        """
        return self.calibration.probabilities(self.weights.logits(self.columns.table(frame, past)))

    def drawn(self, frame: pl.DataFrame, past: Past, draws: int, seed: int = 0) -> Values:
        """`[M, E]` probabilities as they would be by weights that are as likely as those learnt.

        Args:
            frame: as above.
            past: as above.
            draws: M.
            seed: the same seed, the same weights, whichever rows are asked about.

        References:
            Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, alg. 3.
        """
        x = self.columns.table(frame, past)
        met = np.unique(x.indices).astype(np.int64)
        noise = regression.noise(draws, met, seed) / np.sqrt(self.weights.precision[met])
        logits = self.weights.logits(x)[None, :] + (x[:, met] @ noise.T).T
        return self.calibration.probabilities(logits)
