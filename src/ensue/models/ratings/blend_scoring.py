"""Expected ratings of several fitted models as one, stored side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ensue import runtime
from ensue.artifacts import Artifact
from ensue.batching import Items
from ensue.catalogue import Catalogue
from ensue.errors import ArtifactError
from ensue.expected_ratings import targeted
from ensue.inputs import USER, Inputs
from ensue.models.ratings.rating_model import Values
from ensue.ranking import Parts, Scores, Scoring
from ensue.sequences import Queries

MOST = 16
"""The most models of one blend."""
GRAPH, TABLE = "graph", "table "
"""What begins the names of a member's network and of its tables, both kept as bytes."""


@dataclass(frozen=True, eq=False)
class BlendScoring:
    """Ratings `mean + constant + sum of weight x (rating by a model - mean)`, inside the scale.

    Attributes:
        members: the fitted models.
        described: of each, "model" and "settings".
        weights: `[M + 1]` of each, and the constant.
        mean: of the training ratings.
        lowest: no rating lies below it.
        highest: none lies above it.
    """

    members: tuple[Scoring, ...]
    described: tuple[Mapping[str, Any], ...]
    weights: Values
    mean: float
    lowest: float
    highest: float

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of events that any of the models reads."""
        found: list[str] = []
        for member in self.members:
            inputs = getattr(member, "inputs", None)
            found += inputs.columns if isinstance(inputs, Inputs) else getattr(member, "reads", ())
        return tuple(name for name in dict.fromkeys(found) if name != USER)

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` the rating that is expected of each item."""
        scores: Scores = self._together([member.score(queries) for member in self.members])
        return scores

    def expected_of(self, queries: Queries, items: Items) -> Values:
        """`[Q]` the rating that is expected of one item for each history."""
        found: Values = self._together([targeted(member, queries, items) for member in self.members])
        return found

    def _together(self, answers: Sequence[Any]) -> Any:
        total = np.full(answers[0].shape, self.mean + self.weights[-1])
        for weight, found in zip(self.weights, answers, strict=False):
            total += weight * (found - self.mean)
        return np.clip(total, self.lowest, self.highest)

    def parts(self) -> Parts:
        """Those of the models side by side; networks and tables as bytes."""
        arrays: dict[str, NDArray[Any]] = {"weights": self.weights}
        told = []
        for place, (member, described) in enumerate(zip(self.members, self.described, strict=True)):
            own = member.parts()
            told.append({**described, "scoring": dict(own.settings)})
            held = dict(own.arrays)
            if own.graph is not None:
                held[GRAPH] = np.frombuffer(own.graph, dtype=np.uint8)
            for name, table in own.tables.items():
                written = io.BytesIO()
                table.write_parquet(written)
                held[TABLE + name] = np.frombuffer(written.getvalue(), dtype=np.uint8)
            arrays |= {f"{place}/{name}": array for name, array in held.items()}
        scale = {"mean": self.mean, "lowest": self.lowest, "highest": self.highest}
        return Parts({"members": told, **scale}, arrays)

    @classmethod
    def restored(cls, parts: Parts, catalogue: Catalogue) -> BlendScoring:
        """The scoring from its stored parts.

        Raises:
            ArtifactError: a model cannot be made of its parts, or the weights are not one for each.
            MissingExtraError: one is a network, and ONNX Runtime is not installed.
        """
        said, weights = parts.settings, parts.arrays["weights"]
        told = said["members"]
        if not (1 <= len(told) <= MOST and weights.shape == (len(told) + 1,) and np.isfinite(weights).all()):
            raise ArtifactError("The stored blend has not one weight for each model: save it anew.")
        members = []
        for place, described in enumerate(told):
            begins = f"{place}/"
            own = {
                name.removeprefix(begins): held
                for name, held in parts.arrays.items()
                if name.startswith(begins)
            }
            graph = own.pop(GRAPH, None)
            tables = {
                name.removeprefix(TABLE): pl.read_parquet(io.BytesIO(own.pop(name).tobytes()))
                for name in [name for name in own if name.startswith(TABLE)]
            }
            members.append(
                runtime.scoring_of(
                    Artifact(
                        Path(f"the model {described['model']} of the blend"),
                        described,
                        catalogue,
                        own,
                        None if graph is None else graph.tobytes(),
                        tables,
                    )
                )
            )
        return cls(
            tuple(members),
            tuple({"model": one["model"], "settings": one["settings"]} for one in told),
            weights,
            *(float(said[name]) for name in ("mean", "lowest", "highest")),
        )
