"""A saved model that answers: arrays for counting models, ONNX Runtime for networks, never torch.

Evaluation and serving both go through here, so that what was measured is what is served.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ensue import artifacts
from ensue.artifacts import DESCRIPTION, GRAPH, PRIOR, VOCABULARY, Artifact
from ensue.batching import SCORING_TOKENS
from ensue.errors import ArtifactError, ConfigError, MissingExtraError
from ensue.inputs import Inputs
from ensue.model import models
from ensue.prior_table import Leaning
from ensue.ranking import Parts, Recommender, Scores, Scoring
from ensue.sequences import Queries


@dataclass(frozen=True, eq=False)
class GraphScoring:
    """A network's scores through ONNX Runtime, and what its prior adds to them."""

    session: Any
    inputs: Inputs
    n_items: int
    prior: Leaning | None = None
    scores_are: ClassVar[str] = "logits"

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 scores."""
        scores = np.empty((len(queries), self.n_items), dtype=np.float32)
        for which, arrays in self.inputs.feeds(queries, SCORING_TOKENS):
            scores[which] = self.session.run(["scores"], arrays)[0]
        if self.prior is not None:
            self.prior.add(scores, queries)
        return scores

    def parts(self) -> Parts:
        """Nothing: a loaded graph is copied as a folder, not saved again.

        Raises:
            ArtifactError: always.
        """
        raise ArtifactError("A loaded network is not saved again: copy its folder.")


def load(folder: str | Path, *, threads: int = 0) -> Recommender:
    """A recommender from a saved model; needs nothing but its folder.

    Args:
        folder: what `artifacts.save` wrote.
        threads: cores that a network may use for one call; 0 leaves it to ONNX Runtime.

    Raises:
        ArtifactError: the folder is no model of ours, or damaged.
        MissingExtraError: a network is loaded and ONNX Runtime is not installed.
    """
    artifact = artifacts.read(Path(folder))
    description = artifact.description
    graph = artifact.graph
    scoring = _counting(artifact) if graph is None else _network(artifact, graph, threads)
    return Recommender(
        artifact.catalogue,
        scoring,
        description["model"],
        description["settings"],
        description["exclude_seen"],
        description.get("facts", {}),
    )


def _counting(artifact: Artifact) -> Scoring:
    description = artifact.description
    try:
        kind = models.get(description["model"])
        known = {field.name for field in fields(kind)}
        model = kind(**{name: value for name, value in description["settings"].items() if name in known})
        return model.restore(Parts(description["scoring"], artifact.arrays), artifact.catalogue)
    except ConfigError as fault:
        raise ArtifactError(f"{artifact.folder / DESCRIPTION} cannot be followed: {fault}") from fault
    except (KeyError, TypeError, ValueError) as fault:
        raise ArtifactError(
            f"{artifact.folder} lacks a part of its model ({fault}); copy or save it anew."
        ) from fault


def _network(artifact: Artifact, graph: bytes, threads: int) -> Scoring:
    try:
        import onnxruntime
    except ImportError as fault:
        raise MissingExtraError(
            "Answering with a network needs ONNX Runtime: pip install 'ensue[run]'."
        ) from fault
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        said = artifact.description["scoring"]
        inputs = Inputs.restored(said, artifact.tables.get(VOCABULARY))
        n_items = len(artifact.catalogue)
        prior = Leaning.restored(said[PRIOR], artifact.arrays, n_items) if PRIOR in said else None
    except ArtifactError as fault:
        raise ArtifactError(f"{artifact.folder}: {fault}") from fault
    path = artifact.folder / GRAPH
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # onnxruntime raises classes of its own that share no public parent
        raise ArtifactError(f"{path} is no graph that ONNX Runtime can load ({fault}).") from fault
    names = [node.name for node in session.get_inputs()], [node.name for node in session.get_outputs()]
    if names != (["items", "asked", "places", *inputs.reads], ["scores"]):
        raise ArtifactError(f"{path} has other inputs and outputs than ours, {names}: fit the model anew.")
    return GraphScoring(session, inputs, n_items, prior)
