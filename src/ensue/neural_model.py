"""Networks as models: the description that all families share, to which each adds its sequence encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ensue.augment import augmentation_of
from ensue.batching import Ints, Stretches, batches
from ensue.contrast import contrast_of
from ensue.errors import ConfigError, ModelError, nearest
from ensue.features import FeatureArrays, Features
from ensue.feeding import Augmenting
from ensue.inputs import USER, Inputs
from ensue.item_features import FeatureItems
from ensue.item_vectors import HashedItems, ItemTable, ItemVectors
from ensue.losses import Loss, RatingLoss, loss_of, rating_loss_of, rating_losses
from ensue.model import Conditions, Model, Training
from ensue.network import Encoder, Network
from ensue.optimisation import apart, rate
from ensue.optimizers import optimizer_of
from ensue.ranking import Recommender
from ensue.rating_head import RatingHead
from ensue.scorer import Head
from ensue.sequences import Sequences
from ensue.side import Side, Users
from ensue.training import Trainer

LONGEST, EPOCHS, FEWEST_STEPS = 200, 12, 800
STEPS_AN_EPOCH, FEWEST_TOKENS, MOST_TOKENS = 40, 128, 1024
"""What settings are taken from the data by: small batches reach more in the same time (docs/log.md)."""

ITEM_VECTORS = ("learnt", "hashed", "one-hot")
PERSONAL = ("none", "embedding", "adapter")


@dataclass(frozen=True, eq=False)
class Domain:
    """What a network is built over.

    Attributes:
        n_items: `N`.
        counts: `[N]` training events of each item.
        inputs: the columns that it reads, encoded.
        features: how the features of its items are read; None for a network that reads none.
        items: the features of the `N` items.
        ratings: all of training, NaN where an event has none; None where the log has none.
    """

    n_items: int
    counts: NDArray[np.int64]
    inputs: Inputs = field(default_factory=Inputs)
    features: Features | None = None
    items: FeatureArrays | None = None
    ratings: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, n_items: int) -> Domain:
        """A catalogue of this size, of whose items nothing else is known."""
        return cls(n_items, np.ones(n_items, dtype=np.int64))

    @property
    def n_users(self) -> int:
        """Users that training knows: codes from here up are unknown ones."""
        return self.inputs.encodings[USER].unseen_code if USER in self.inputs.reads else 0


@dataclass(frozen=True)
class NeuralModel(Model):
    """What all networks have in common; a family adds its sequence encoder.

    Attributes:
        width: `D`, size of item vectors and states.
        length: `T`, the most recent events of a history that the network sees; 0 takes it from the data.
        dropout: share of entries set to zero in training, at the input and after each sublayer.
        tied: score with the vectors of the input; otherwise with a table of its own.
        bias: learn a number per item beside its vector.
        temperature: 0 scores by plain products; above 0 by cosines divided by it.
        item_vectors: "learnt" (one vector per item), "hashed" (composed of two small tables, for very large
            catalogues) or "one-hot" (a one-hot input, which is a table of the input's own: never tied).
        features: columns of the items (categories, several categories, numbers, vectors of texts or images) whose
            vectors are added to an item's own, so that a new item can be scored.
        id_dropout: share of the items that are met without their own vectors while training, where there are features.
        inputs: other columns that each event is read with: "gap" (time since the event before), "hour", "weekday",
            "month" (UTC), "rating", "event", or any column of the log.
        personal: "none"; "embedding" (a vector for each user, added to every input); "adapter" (what each user changes
            about the states of the shared network).
        augment: names of augmentations, or tables with their names and settings; a training row that is augmented draws
            one of them.
        augment_share: of the rows that are, where there are augmentations.
        contrast: settings of a second loss over views of every row (`weight`, `views`, `temperature`, `cosine`).
        loss: name of a loss, or a table with its name and settings.
        epochs: passes over the training targets at most, over which the learning rate falls; 0 takes it from the data.
        patience: stop after this many epochs without a better validation score; 0 takes a quarter of the epochs.
        batch_tokens: token budget of a batch, `rows x longest row`; 0 takes it from the data.
        optimizer: name of an optimiser ("adamw", "adam", "sgd", "adagrad", "rowwise"), or a table with its settings.
        schedule: how the rate goes on after the warm-up: "cosine", "linear" or "constant".
        learning_rate: peak, reached after the warm-up.
        weight_decay: of matrices; vectors, norms and biases have none.
        warmup: share of all steps over which the rate rises.
        clip: largest norm of the gradient.
        ema: weight of the past in a moving average of the weights that is validated and kept; 0 takes none.
        validation_targets: how many validation targets are ranked after each epoch, evenly spread over all.
    """

    network_class: ClassVar[type[Network]] = Network

    width: int = 64
    length: int = 0
    dropout: float = 0.2
    tied: bool = True
    bias: bool = False
    temperature: float = 0.0
    item_vectors: str = "learnt"
    features: tuple[str, ...] = ()
    id_dropout: float = 0.1
    inputs: tuple[str, ...] = ()
    personal: str = "none"
    augment: tuple[str | Mapping[str, Any], ...] = ()
    augment_share: float = 0.5
    contrast: Mapping[str, Any] | None = None
    loss: str | Mapping[str, Any] = "cross-entropy"
    epochs: int = 0
    patience: int = 0
    batch_tokens: int = 0
    optimizer: str | Mapping[str, Any] = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    ema: float = 0.99
    validation_targets: int = 5000

    def __post_init__(self) -> None:
        for name in ("inputs", "features", "augment"):  # JSON knows lists alone
            object.__setattr__(self, name, tuple(getattr(self, name)))
        rules: tuple[tuple[str, Callable[[float], bool], str], ...] = (
            ("width validation_targets", lambda value: value >= 1, "must be at least 1"),
            (
                "length epochs patience batch_tokens",
                lambda value: value >= 0,
                "must be at least 1, or 0 for automatic",
            ),
            ("dropout id_dropout warmup ema", lambda value: 0 <= value < 1, "must lie from 0 up to 1"),
            ("augment_share", lambda value: 0 < value <= 1, "must lie above 0 and be at most 1"),
            ("temperature weight_decay", lambda value: value >= 0, "must not be negative"),
            ("learning_rate clip", lambda value: value > 0, "must be above 0"),
        )
        faults = [
            f"{name}={getattr(self, name):g} {rule}"
            for names, holds, rule in rules
            for name in names.split()
            if not holds(getattr(self, name))
        ]
        faults += [
            f"{name}={list(getattr(self, name))} names a column twice"
            for name in ("inputs", "features")
            if len(set(getattr(self, name))) < len(getattr(self, name))
        ]
        for name, known in (("item_vectors", ITEM_VECTORS), ("personal", PERSONAL)):
            value = getattr(self, name)
            if value not in known:
                faults.append(
                    f"{name}='{value}' must be one of {', '.join(known)}.{nearest(value, known)}".rstrip(".")
                )
        if faults:
            raise ConfigError(f"{self.name}: {'; '.join(faults)}.")
        self.objective()
        optimizer_of(self.optimizer)
        rate(0, 1, self.warmup, self.schedule)
        if self.rates and not self.causal:
            raise ConfigError(f"{self.name}: ratings are learnt by networks that read left to right only.")
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
        return rating_loss_of(self.loss) if self.rates else loss_of(self.loss)

    def augmenting(self) -> Augmenting:
        """What is done to training rows."""
        return Augmenting(tuple(augmentation_of(described) for described in self.augment), self.augment_share)

    @abstractmethod
    def encoder(self) -> Encoder:
        """The sequence encoder, freshly initialised."""

    def head(self, domain: Domain) -> Head:
        """What scores items against states, freshly initialised."""
        tied = self.tied and self.item_vectors != "one-hot"
        return Head(
            domain.n_items,
            self.width,
            tied=tied,
            bias=self.bias,
            temperature=self.temperature,
            counts=torch.from_numpy(domain.counts.astype(np.float32)),
        )

    def network(self, domain: Domain) -> Network:
        """The whole network over a domain, freshly initialised."""
        head = self.head(domain)
        hashed = self.item_vectors == "hashed"
        items: ItemVectors = (HashedItems if hashed else ItemTable)(domain.n_items, self.width)
        if domain.features is not None and domain.items is not None:
            items = FeatureItems(items, domain.features, domain.items, self.width, self.id_dropout)
        side = Side(self.inputs, domain.inputs.encodings, self.width) if self.inputs else None
        users = None if self.personal == "none" else Users(domain.n_users, self.width, self.personal)
        rating = None
        if self.rates:
            known = np.zeros(0, dtype=np.float32) if domain.ratings is None else domain.ratings
            rating = RatingHead(rating_loss_of(self.loss), known)
        return self.network_class(items, self.encoder(), head, self.dropout, side, users, rating)

    @property
    def causal(self) -> bool:
        """Whether no state depends on later events, so that histories which begin at one event share a row."""
        return self.network_class.causal

    def domain(self, training: Training) -> Domain:
        """What the network is built over, with encodings fitted on the training sequences."""
        sequences = training.sequences
        reads = (
            *self.encoder().reads,
            *self.inputs,
            *((USER,) if self.personal != "none" else ()),
        )
        try:
            inputs = Inputs.fit(sequences, tuple(dict.fromkeys(reads)), self.length, self.causal)
        except ModelError as fault:
            raise ModelError(f"{self.name}: {fault}") from fault
        plain = Domain(sequences.n_items, training.catalogue.counts, inputs, ratings=sequences.rating)
        if not self.features:
            return plain
        known = training.catalogue.features
        if known is None:
            raise ModelError(
                f"{self.name}: nothing is known of the items of this log, so there are no features to read: "
                "leave features out, or read the log with a table of its items."
            )
        features = Features.fit(known, self.features)
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
        with apart(conditions):
            return Trainer(model, training, conditions).fit()

    def suited(self, sequences: Sequences, say: Callable[[str], None] = lambda text: None) -> Self:
        """The model with every setting that is left to the data filled in, each with its reason said.

        Args:
            sequences: what it will be trained on.
            say: told what was chosen and why.
        """
        targets = sequences.n_targets
        long = int(np.quantile(sequences.lengths, 0.95)) if len(sequences) else 1
        length = self.length or min(max(-(-long // 10) * 10, 10), LONGEST)
        tokens = self.batch_tokens or min(max(targets // STEPS_AN_EPOCH, FEWEST_TOKENS), MOST_TOKENS)
        steps = max(-(-targets // tokens), 1)
        epochs = self.epochs or max(EPOCHS, -(-FEWEST_STEPS // steps))
        patience = self.patience or max(-(-epochs // 4), 1)
        if not self.length:
            say(
                f"{self.name}: length {length}, since 95 % of the sequences have at most {long} events; "
                f"{LONGEST} is the most that is taken"
            )
        if not (self.batch_tokens and self.epochs):
            say(
                f"{self.name}: batches of {tokens} tokens and {epochs} epochs at most, since {targets:,} targets "
                f"make about {steps} steps an epoch"
            )
        return replace(self, length=length, batch_tokens=tokens, epochs=epochs, patience=patience)
