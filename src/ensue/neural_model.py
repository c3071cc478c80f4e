"""Networks as models: the description that all families share, to which each adds its sequence encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch

from ensue.augment import augmentation_of
from ensue.batching import Ints, Stretches, batches
from ensue.contrast import check_whole, contrast_of
from ensue.domain import Domain
from ensue.errors import ColumnError, ConfigError, ModelError
from ensue.features import Features
from ensue.feeding import Augmenting
from ensue.further import of_saved, prolonged
from ensue.inputs import USER, WAIT, Inputs
from ensue.item_features import FeatureItems
from ensue.item_start import together
from ensue.item_vectors import HashedItems, ItemTable, ItemVectors
from ensue.losses import CrossEntropy, Loss, RatingLoss, loss_of, rating_loss_of, rating_losses
from ensue.model import Conditions, Model, Training
from ensue.network import Encoder, Network
from ensue.network_settings import settings_faults
from ensue.optimisation import apart, rate
from ensue.optimizers import optimizer_of
from ensue.prior import Prior
from ensue.prior_table import Transitions
from ensue.ranking import Parts, Recommender
from ensue.rating_head import RatingHead
from ensue.scorer import Head
from ensue.second_head import SecondHead, weight_beside
from ensue.sequences import Sequences
from ensue.side import Side, Users
from ensue.spaces import NETWORK, Space
from ensue.suiting import choices
from ensue.training import Trainer
from ensue.transitions import transition_counts
from ensue.waiting import Waiting
from ensue.wanted import Wanted


@dataclass(frozen=True)
class NeuralModel(Model):
    """What all networks have in common; a family adds its sequence encoder.

    Attributes:
        width: `D`, size of item vectors, and of states unless the model says otherwise.
        length: `T`, the most recent events of a history that the network sees; 0 takes it from the data.
        dropout: share of entries set to zero in training, at the input and after each sublayer.
        tied: score with the vectors of the input; otherwise with a table of its own.
        bias: learn a number per item beside its vector.
        temperature: 0 scores by plain products; above 0 by cosines divided by it.
        item_vectors: "learnt" (one vector per item), "hashed" (composed of two small tables, for very large
            catalogues) or "one-hot" (a one-hot input, which is a table of the input's own: never tied).
        item_start: where the vectors of items begin: "drawn" by chance, or "together", near those that stand with them
            in the sequences (`ensue.item_start`), which small logs gain much by.
        features: columns of the items (categories, several categories, numbers, vectors of texts or images) whose
            vectors are added to an item's own, so that a new item can be scored: names, or tables that say how one is
            read, such as {"column": "genres", "kind": "values", "separator": "|"}.
        id_dropout: share of the items that are met without their own vectors while training, where there are features.
        inputs: other columns that each event is read with: "gap" (time since the event before), "hour", "weekday",
            "month" (UTC), "rating", "event", or any column of the log.
        asked: what is read of the moment of a question: "none" (time-blind), or "wait" (time-aware: how long after the
            last event of the history it is asked, which a service knows). See `ensue.tracks`.
        personal: "none"; "embedding" (a vector for each user, added to every input); "adapter" (what each user changes
            about the states of the shared network).
        augment: names of augmentations, or tables with their names and settings; a training row that is augmented draws
            one of them.
        augment_share: of the rows that are, where there are augmentations.
        ahead: how many events ahead a target of training may lie; 1 asks for the next one alone. See `ensue.aiming`.
        ahead_share: of the targets that are drawn among so many next ones, the nearer the likelier.
        contrast: settings of a second loss over views of every row (`weight`, `views`, `temperature`, `cosine`).
        prior: what the last items have been followed by, as the model `rules` counts it, added to the logits:
            "rules" learns how much, inside the softmax of training; "beside" trains without it, and takes the weight
            that does best on validation; "none". See `ensue.prior`.
        prior_weight: how much it counts, at first for "rules", always for "beside"; None takes 1, or what does best.
        prior_window: `W`, the largest distance that is counted; 0 takes it from the data.
        prior_last: `L`, how many of the last items are asked, no more than `length`; 0 takes it from the data.
        prior_decay: weight of each step further back; 0 takes it from the data.
        prior_top: what is kept of the counts of an item, the largest; 0 keeps all.
        prior_repeats: whether the prior also adds to items that the window holds; None takes it from the data: not
            where hardly any item comes again.
        prior_folds: training leaves out what the users of the same fold have counted, of so many folds.
        loss: name of a loss, or a table with its name and settings; "auto" takes it from the size of the catalogue.
        epochs: passes over the training targets at most, over which the learning rate falls; 0 takes it from the data.
        patience: stop after this many epochs without a better validation score; 0 takes half of the epochs.
        batch_tokens: token budget of a batch, `rows x longest row`; 0 takes it from the data.
        optimizer: name of an optimiser ("adamw", "adam", "sgd", "adagrad", "rowwise"), or a table with its settings;
            "auto" takes it from the size of the table of items.
        schedule: how the rate goes on after the warm-up: "cosine", "linear" or "constant".
        learning_rate: peak, reached after the warm-up.
        weight_decay: of matrices; vectors, norms and biases have none.
        warmup: share of all steps over which the rate rises.
        clip: largest norm of the gradient.
        ema: weight of the past in a moving average of the weights that is validated and kept; 0 takes none, None
            takes it from the size of the table of items.
        validation_targets: how many validation targets are ranked after each epoch, evenly spread over all.
    """

    network_class: ClassVar[type[Network]] = Network
    goes_on: ClassVar[bool] = True
    small_steps: ClassVar[bool] = False
    """Whether it computes one event after another, in products too small for threads to share."""
    space: ClassVar[Space] = NETWORK

    width: int = 64
    length: int = 0
    dropout: float = 0.2
    tied: bool = True
    bias: bool = False
    temperature: float = 0.0
    item_vectors: str = "learnt"
    item_start: str = "drawn"
    features: tuple[str | Mapping[str, Any], ...] = ()
    id_dropout: float = 0.1
    inputs: tuple[str, ...] = ()
    asked: str = "none"
    personal: str = "none"
    augment: tuple[str | Mapping[str, Any], ...] = ()
    augment_share: float = 0.5
    ahead: int = 1
    ahead_share: float = 0.5
    contrast: Mapping[str, Any] | None = None
    prior: str = "none"
    prior_weight: float | None = None
    prior_window: int = 0
    prior_last: int = 0
    prior_decay: float = 0.0
    prior_top: int = 128
    prior_repeats: bool | None = None
    prior_folds: int = 10
    loss: str | Mapping[str, Any] = "auto"
    epochs: int = 0
    patience: int = 0
    batch_tokens: int = 0
    optimizer: str | Mapping[str, Any] = "auto"
    schedule: str = "cosine"
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    ema: float | None = None
    validation_targets: int = 5000

    def __post_init__(self) -> None:
        for name in ("inputs", "features", "augment"):  # JSON knows lists alone
            given = getattr(self, name)
            if isinstance(given, str | Mapping):
                raise ConfigError(f"{self.name}: {name}={given!r} must be a list, such as [{given!r}].")
            object.__setattr__(self, name, tuple(given))
        try:
            features = [Wanted.of(described).column for described in self.features]
        except ConfigError as fault:
            raise ConfigError(f"{self.name}: features: {fault}") from fault
        faults = settings_faults(self, features)
        if faults:
            told = "; ".join(faults)
            raise ConfigError(f"{self.name}: {told}" if told.endswith("?") else f"{self.name}: {told}.")
        self.objective()
        if self.optimizer != "auto":
            optimizer_of(self.optimizer)
        rate(0, 1, self.warmup, self.schedule)
        if self.rates and not self.causal:
            raise ConfigError(f"{self.name}: ratings are learnt by networks that read left to right only.")
        if self.rates and self.prior != "none":
            raise ConfigError(
                f"{self.name}: prior='{self.prior}' says which item comes next and not how it is rated: leave it "
                "out, or take a loss of the next item."
            )
        contrast = contrast_of(self.contrast)
        self.augmenting()
        if contrast is not None and contrast.views == "augmented" and not self.augment:
            raise ConfigError(
                f'{self.name}: contrast by augmented views needs augment=["crop", "mask", "reorder"].'
            )

    @property
    def rates(self) -> bool:
        """Whether the next rating is asked for, and not the next item: the loss says so."""
        name = self.loss if isinstance(self.loss, str) else self.loss.get("name")
        return name in rating_losses.names()

    def objective(self) -> Loss | RatingLoss:
        """The loss."""
        if self.loss == "auto":
            return CrossEntropy()
        return rating_loss_of(self.loss) if self.rates else loss_of(self.loss)

    def augmenting(self) -> Augmenting:
        """What is done to training rows."""
        return Augmenting(tuple(augmentation_of(described) for described in self.augment), self.augment_share)

    @abstractmethod
    def encoder(self) -> Encoder:
        """The sequence encoder, freshly initialised."""

    @property
    def scores_tied(self) -> bool:
        """Whether states are scored with the vectors of the input: a one-hot input has none of its own to share."""
        return self.tied and self.item_vectors != "one-hot"

    @property
    def states_width(self) -> int:
        """Size of the states that items are scored against; that of item vectors where these score."""
        return self.width

    def head(self, domain: Domain) -> Head:
        """What scores items against states, freshly initialised."""
        return Head(
            domain.n_items,
            self.states_width,
            tied=self.scores_tied,
            bias=self.bias,
            temperature=self.temperature,
            counts=torch.from_numpy(domain.counts.astype(np.float32)),
        )

    def network(self, domain: Domain) -> Network:
        """The whole network over a domain, freshly initialised."""
        head = self.head(domain)
        hashed = self.item_vectors == "hashed"
        start = None if domain.start is None else torch.tensor(domain.start)
        items: ItemVectors = (
            HashedItems(domain.n_items, self.width)
            if hashed
            else ItemTable(domain.n_items, self.width, start)
        )
        if domain.features is not None and domain.items is not None:
            items = FeatureItems(items, domain.features, domain.items, self.width, self.id_dropout)
        side = Side(self.inputs, domain.inputs.encodings, self.width) if self.inputs else None
        wide = self.width if self.personal == "embedding" else self.states_width
        users = None if self.personal == "none" else Users(domain.n_users, wide, self.personal)
        rating = None
        if self.rates:
            known = np.zeros(0, dtype=np.float32) if domain.ratings is None else domain.ratings
            rating = RatingHead(rating_loss_of(self.loss), known, self.states_width, deviations=True)
        prior = None
        if self.prior != "none":
            table = (
                Transitions.empty(domain.n_items, self.prior_last) if domain.prior is None else domain.prior
            )
            weight = 1.0 if self.prior_weight is None else self.prior_weight
            prior = Prior(table.answering, weight, learnt=self.prior == "rules")
        beside = None
        if domain.beside and domain.ratings is not None:
            beside = SecondHead(
                domain.n_items,
                self.states_width,
                domain.ratings,
                tied=self.scores_tied,
                weight=domain.beside,
            )
        waiting = Waiting(self.states_width) if self.asked == "wait" else None
        parts = (items, self.encoder(), head, self.dropout, side, users, rating, prior, beside, waiting)
        return self.network_class(*parts)

    @property
    def causal(self) -> bool:
        """Whether no state depends on later events, so that histories which begin at one event share a row."""
        return self.network_class.causal

    def transitions(self, training: Training, known: Transitions | None = None) -> Transitions | None:
        """The tables of the prior; None for a network without one.

        Args:
            training: whose sequences are counted, and those that it only counts.
            known: what has been counted before; None where nothing was, or all of it is in `training`.
        """
        if self.prior == "none":
            return None
        beside = None if known is None else known.counts(training.sequences.n_items)
        if training.counted is not None:
            beside = transition_counts(training.counted, self.prior_window)
        last = min(self.prior_last, self.length)
        hides = 0 if self.prior_repeats else self.length
        if self.prior == "beside":
            asked = (self.prior_window, last, self.prior_decay, self.prior_top)
            return Transitions.beside(training.sequences, *asked, beside, hides)
        return Transitions.counted(
            training.sequences,
            self.prior_window,
            last,
            self.prior_decay,
            self.prior_folds,
            self.prior_top,
            beside,
            hides,
        )

    def domain(self, training: Training) -> Domain:
        """What the network is built over, with encodings fitted on the training sequences."""
        sequences = training.sequences
        reads = (
            *self.encoder().reads,
            *self.inputs,
            *((USER,) if self.personal != "none" else ()),
            *((WAIT,) if self.asked == "wait" else ()),
        )
        beside = weight_beside(self, training)
        if (self.rates or beside) and sequences.rating is None:
            others = ", ".join(sequences.context) or "none"
            what = "objective.rating" if beside else f"the loss {self.objective().name}"
            raise ModelError(
                f"{self.name}: the log has no ratings, and {what} learns from nothing else; "
                f"its other columns: {others}. Say which one it is (--columns rating=NAME), or take another loss."
            )
        try:
            inputs = Inputs.fit(sequences, tuple(dict.fromkeys(reads)), self.length, self.causal)
        except (ColumnError, ConfigError, ModelError) as fault:
            raise ModelError(f"{self.name}: {fault}") from fault
        counts, prior = training.catalogue.counts, self.transitions(training)
        start = together(sequences, self.width) if self.item_start == "together" else None
        plain = Domain(
            sequences.n_items,
            counts,
            inputs,
            ratings=sequences.rating,
            prior=prior,
            beside=beside,
            start=start,
        )
        if not self.features:
            return plain
        known = training.catalogue.features
        if known is None:
            raise ModelError(
                f"{self.name}: nothing is known of the items of this log, so there are no features to read: "
                "leave features out, or read the log with a table of its items."
            )
        try:
            features = Features.fit(known, self.features)
        except (ColumnError, ConfigError) as fault:
            raise ModelError(f"{self.name}: features of items: {fault}") from fault
        return replace(plain, features=features, items=features.arrays(known))

    def plan(
        self, sequences: Sequences, starts: Ints, ends: Ints, rng: np.random.Generator
    ) -> Iterator[Stretches]:
        """The batches of an epoch: windows of like length, within the token budget.

        Args:
            sequences: what is trained on.
            starts: `[W]` first input of each window that together train every target once.
            ends: `[W]` after its last input.
            rng: of this epoch.
        """
        for chosen in batches(ends - starts, self.batch_tokens, rng):
            yield Stretches(starts[chosen], ends[chosen])

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The network trained on all positions of the training sequences.

        Raises:
            ModelError: there is no target to train, a column that it reads is missing, or the loss stopped being a
                number.
        """
        model = self.suited(training.sequences, conditions.progress.say)
        check_whole(model.contrast, conditions, model.batch_tokens)
        if conditions.processes != 1:
            from ensue.members import together

            return together(model, training, conditions)
        with apart(conditions):
            return Trainer(model, training, conditions).fit()

    def go_on(self, parts: Parts, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The network trained further, from where a saved one stands; see `ensue.further`.

        Args:
            parts: of the saved one.
            training: new events, over a catalogue that begins with the saved one's.
            conditions: how it goes; steps below 0 learn nothing and only take new items in.

        Raises:
            ModelError: its item vectors cannot grow, or the loss stopped being a number.
        """
        domain, weights = of_saved(self, parts, training)
        with apart(conditions):
            model = prolonged(self, training.sequences)
            check_whole(model.contrast, conditions, model.batch_tokens)
            return Trainer(model, training, conditions, domain=domain, weights=weights).fit()

    def suited(self, sequences: Sequences, say: Callable[[str], None] = lambda text: None) -> Self:
        """The model with every setting that is left to the data filled in, each with its reason said.

        Args:
            sequences: what it will be trained on.
            say: told what was chosen and why.
        """
        found = list(choices(self, sequences))
        for choice in found:
            if choice.reason:
                say(f"{self.name}: {choice.reason}")
        return replace(self, **{choice.name: choice.value for choice in found})
