"""A saved model that answers: arrays for counting models, ONNX Runtime for networks, never torch.

Evaluation and serving both go through here, so that what was measured is what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ensue import artifacts, retrieval
from ensue.artifacts import DESCRIPTION, GRAPH, PRIOR, VOCABULARY, Artifact
from ensue.batching import Ints
from ensue.catalogue import Catalogue
from ensue.cores import cores
from ensue.errors import ArtifactError, ConfigError, MissingExtraError
from ensue.inputs import Inputs
from ensue.model import models
from ensue.nearest import Shelf
from ensue.prior_table import Leaning
from ensue.ranking import Parts, Recommender, Scores, Scoring
from ensue.retrieval import ASKED, PRODUCT, Product
from ensue.sequences import Queries

TOKENS = 2_048
"""The most `rows x steps` that a graph is given at a time: what it works out of more no longer fits into the caches of
a processor, and takes half as long again."""

EVENTS = 10
"""Events of a history by which a table is measured."""


@dataclass(frozen=True, eq=False)
class GraphScoring:
    """A network's scores through ONNX Runtime, and what its prior adds to them.

    Attributes:
        session: of the graph; it computes a call on one core.
        inputs: the columns that it reads.
        n_items: `N`.
        prior: what is added; None adds nothing.
        product: makes the scores of the graph's states; None has them of the graph.
        threads: cores: so many calls are computed side by side where there are many questions.
    """

    session: Any
    inputs: Inputs
    n_items: int
    prior: Leaning | None = None
    product: Product | None = None
    threads: int = 1
    scores_are: ClassVar[str] = "logits"

    def score(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 scores."""
        if self.product is not None:
            return self.product.scores(self.states(queries))
        scores = np.empty((len(queries), self.n_items), dtype=np.float32)
        self._answered("scores", queries, scores.__setitem__)
        if self.prior is not None:
            self.prior.add(scores, queries)
        return scores

    @property
    def abreast(self) -> int:
        """How many blocks of questions are best answered side by side; a product apart uses all cores by itself."""
        return self.threads if self.product is None else 1

    def alone(self) -> GraphScoring:
        """The same on one core."""
        return replace(self, threads=1)

    def states(self, queries: Queries) -> NDArray[np.float32]:
        """`[Q, D]` what the vectors of the items are multiplied by, where the product is not a part of the graph."""
        found: list[tuple[Ints, NDArray[np.float32]]] = []
        self._answered("states", queries, lambda which, part: found.append((which, part)))
        states = np.empty((len(queries), found[0][1].shape[1] if found else 0), dtype=np.float32)
        for which, part in found:
            states[which] = part
        return states

    def ratings(self, queries: Queries) -> Scores:
        """`[Q, N]` float32 ratings that are expected beside the next item, by a network that has learnt them."""
        scores = np.empty((len(queries), self.n_items), dtype=np.float32)
        self._answered("ratings", queries, scores.__setitem__)
        return scores

    def _answered(
        self, output: str, queries: Queries, take: Callable[[Ints, NDArray[np.float32]], None]
    ) -> None:
        """Has an output of the graph worked out for all questions, in calls of a bounded size.

        Args:
            output: its name.
            queries: `Q` of them.
            take: is given rows of `queries`, and what the graph says of them, in any order.
        """

        def call(feed: tuple[Ints, dict[str, NDArray[Any]]]) -> None:
            which, arrays = feed
            take(which, self.session.run([output], arrays)[0])

        feeds = self.inputs.feeds(queries, TOKENS)
        first = list(islice(feeds, 2 if self.threads > 1 else 0))
        if len(first) < 2:  # one core, or so little that a second one is not worth its start
            for feed in chain(first, feeds):
                call(feed)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(call, chain(first, feeds)):
                pass  # what went wrong in a thread is raised here

    def parts(self) -> Parts:
        """Nothing: a loaded graph is copied as a folder, not saved again.

        Raises:
            ArtifactError: always.
        """
        raise ArtifactError("A loaded network is not saved again: copy its folder.")


def load(
    folder: str | Path,
    *,
    threads: int = 0,
    table: str = "fp32",
    seal: bytes = b"",
    say: Callable[[str], None] = lambda text: None,
) -> Recommender:
    """A recommender from a saved model; needs nothing but its folder.

    Args:
        folder: what `artifacts.save` wrote.
        threads: cores that a network may use; 0 takes all that there are. One question is answered by one of them, but
            for the product of a large catalogue.
        table: how the table of a large catalogue is kept: "fp32", "fp16", "int8", "approximate", or "auto", which goes
            by its size (see `ensue.retrieval`).
        seal: a key by which an index that was kept in the folder is known to be one of ours; without it, an approximate
            table has its index made each time.
        say: is told of an index that is made, which may take long.

    Raises:
        ConfigError: there is no such table, or it cannot hold the vectors.
        ArtifactError: the folder is no model of ours, or damaged.
        MissingExtraError: a network is loaded and ONNX Runtime is not installed, or usearch for an approximate table.
    """
    artifact = artifacts.read(Path(folder))
    description = artifact.description
    shelf = Shelf(artifact.folder, str(description["checksum"]), seal, say) if seal else None
    scoring = scoring_of(artifact, threads, table, shelf)
    return Recommender(
        artifact.catalogue,
        scoring,
        description["model"],
        description["settings"],
        description["exclude_seen"],
        description.get("facts", {}),
    )


def scoring_of(
    artifact: Artifact, threads: int = 1, table: str = "fp32", shelf: Shelf | None = None
) -> Scoring:
    """What an artifact holds, made to answer; a model that is made of others asks for those here.

    Args:
        artifact: of any kind.
        threads: cores that a network may use, as for `load`.
        table: how the table of a large catalogue is kept, as for `load`.
        shelf: where its index is kept; None makes one each time.

    Raises:
        ArtifactError: a part is missing or does not fit.
        MissingExtraError: it is a network and ONNX Runtime is not installed, or usearch for an approximate table.
    """
    graph = artifact.graph
    return _counting(artifact) if graph is None else _network(artifact, graph, threads, table, shelf)


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


def _network(artifact: Artifact, graph: bytes, threads: int, table: str, shelf: Shelf | None) -> Scoring:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as fault:
        raise MissingExtraError(
            "Answering with a network needs ONNX Runtime: pip install 'ensue[run]'."
        ) from fault
    kind = retrieval.kind_of(table, len(artifact.catalogue))
    try:
        said = artifact.description["scoring"]
        inputs = Inputs.restored(said, artifact.tables.get(VOCABULARY))
        n_items = len(artifact.catalogue)
        prior = Leaning.restored(said[PRIOR], artifact.arrays, n_items) if PRIOR in said else None
        apart = said.get(PRODUCT)
        learnt = None if apart is None else retrieval.learnt_of(apart, artifact.arrays, n_items)
    except ArtifactError as fault:
        raise ArtifactError(f"{artifact.folder}: {fault}") from fault
    path = artifact.folder / GRAPH
    try:
        session = retrieval.session_of(graph, 1)
    except Exception as fault:  # onnxruntime raises classes of its own that share no public parent
        raise ArtifactError(f"{path} is no graph that ONNX Runtime can load ({fault}).") from fault
    names = [node.name for node in session.get_inputs()], [node.name for node in session.get_outputs()]
    taken = ["items", "asked", "places", *inputs.reads]
    outputs = (["scores"], ["scores", "ratings"]) if learnt is None else (["states"],)
    if names not in [(taken, given) for given in outputs]:
        raise ArtifactError(f"{path} has other inputs and outputs than ours, {names}: fit the model anew.")
    scoring = GraphScoring(session, inputs, n_items, prior, None, threads or cores())
    if learnt is None:
        return scoring

    def states() -> NDArray[np.float32]:
        return scoring.states(_examples(artifact.catalogue, inputs.length))

    return replace(scoring, product=retrieval.product_of(learnt, kind, threads, states, shelf))


def _examples(catalogue: Catalogue, length: int) -> Queries:
    """Histories by which a table is measured, their items drawn as often as they were seen."""
    rng = np.random.default_rng(0)
    share = catalogue.share if catalogue.counts.any() else None
    steps = min(length, EVENTS)
    items = rng.choice(len(catalogue), size=ASKED * steps, p=share).astype(np.int32)
    starts = np.arange(ASKED, dtype=np.int64) * steps
    return Queries(items, starts, starts + steps, len(catalogue))
