"""Networks as models: one trainer for all families.

Every target of every sequence is trained once per epoch, in right-padded batches of like length under a token
budget. Validation ranks the whole catalogue; the best state is kept, or the moving average of the weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ensue import checkpoints
from ensue.checkpoints import Checkpoint
from ensue.errors import ConfigError, ModelError
from ensue.evaluation import evaluate
from ensue.export import TorchScoring
from ensue.losses import Loss, loss_of
from ensue.model import Conditions, Model, Training
from ensue.network import Head, ItemTable, Network
from ensue.optimisation import apart, device_of, load_parameters, parameter_groups, rate, seed_of
from ensue.ranking import Recommender
from ensue.sequences import Ints, Sequences, batches, pad, windows
from ensue.splits import Examples

SELECT = "ndcg@10"
"""The metric on validation by which an epoch is chosen."""

LONGEST, EPOCHS, FEWEST_STEPS = 200, 12, 800
STEPS_AN_EPOCH, FEWEST_TOKENS, MOST_TOKENS = 40, 128, 1024
"""What settings are taken from the data by: small batches reach more in the same time (docs/log.md)."""


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
        loss: name of a loss, or a table with its name and settings.
        epochs: passes over the training targets at most, over which the learning rate falls; 0 takes it from the data.
        patience: stop after this many epochs without a better validation score; 0 takes a quarter of the epochs.
        batch_tokens: token budget of a batch, `rows x longest row`; 0 takes it from the data.
        learning_rate: peak, reached after the warm-up.
        weight_decay: of matrices; vectors, norms and biases have none.
        warmup: share of all steps over which the rate rises.
        clip: largest norm of the gradient.
        ema: weight of the past in a moving average of the weights that is validated and kept; 0 takes none.
        validation_targets: how many validation targets are ranked after each epoch, evenly spread over all.
    """

    width: int = 64
    length: int = 0
    dropout: float = 0.2
    tied: bool = True
    bias: bool = False
    temperature: float = 0.0
    loss: str | Mapping[str, Any] = "cross-entropy"
    epochs: int = 0
    patience: int = 0
    batch_tokens: int = 0
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    ema: float = 0.99
    validation_targets: int = 5000

    def __post_init__(self) -> None:
        rules: tuple[tuple[str, Callable[[float], bool], str], ...] = (
            ("width validation_targets", lambda value: value >= 1, "must be at least 1"),
            (
                "length epochs patience batch_tokens",
                lambda value: value >= 0,
                "must be at least 1, or 0 for automatic",
            ),
            ("dropout warmup ema", lambda value: 0 <= value < 1, "must lie from 0 up to 1"),
            ("temperature weight_decay", lambda value: value >= 0, "must not be negative"),
            ("learning_rate clip", lambda value: value > 0, "must be above 0"),
        )
        faults = [
            f"{name}={getattr(self, name):g} {rule}"
            for names, holds, rule in rules
            for name in names.split()
            if not holds(getattr(self, name))
        ]
        if faults:
            raise ConfigError(f"{self.name}: {'; '.join(faults)}.")
        loss_of(self.loss)

    @abstractmethod
    def encoder(self) -> nn.Module:
        """The sequence encoder, `[B, T, D]` to `[B, T, D]`, freshly initialised."""

    def network(self, n_items: int) -> Network:
        """The whole network over a catalogue of `N` items, freshly initialised."""
        head = Head(n_items, self.width, tied=self.tied, bias=self.bias, temperature=self.temperature)
        return Network(ItemTable(n_items, self.width), self.encoder(), head, self.dropout)

    def fit(self, training: Training, conditions: Conditions = Conditions()) -> Recommender:
        """The network trained on all positions of the training sequences.

        Raises:
            ModelError: there is no target to train, or the loss stopped being a number.
        """
        model = self.suited(training.sequences, conditions.progress.say)
        with apart(conditions):
            return _Trainer(model, training, conditions).fit()

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


class _Trainer:
    """One fit of one network: the loop, and the state that a checkpoint keeps."""

    def __init__(self, model: NeuralModel, training: Training, conditions: Conditions) -> None:
        self.model, self.training, self.conditions = model, training, conditions
        self.sequences: Sequences = training.sequences
        if self.sequences.n_targets == 0:
            raise ModelError(
                f"{model.name}: no sequence holds two events, so there is nothing that comes next to learn from."
            )
        self.device = device_of(conditions.device)
        self.loss: Loss = loss_of(model.loss)
        self.network = model.network(self.sequences.n_items).to(self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, model.weight_decay),
            lr=model.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.average = [p.detach().clone() for p in self.network.parameters()] if model.ema else []
        self.starts, self.ends = windows(self.sequences.offsets, model.length)
        self.horizon = conditions.horizon or model.epochs * len(list(self._plan(0)))
        self.step, self.epoch = 0, 0
        self.best: dict[str, Any] = {"score": -1.0, "epoch": 0, "step": 0}
        self.best_state: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []
        self.validation = _sample(training, model.validation_targets)
        self.data = _fingerprint(self.sequences, self.validation)

    def fit(self) -> Recommender:
        """Trains until the epochs, the patience, the steps or the minutes are used up."""
        began = time.monotonic()
        self._resume()
        epochs = self.model.epochs if not self.conditions.steps else 10**9
        with self.conditions.progress.task(self.model.name, self.conditions.steps or self.horizon) as task:
            task.advance(self.step)
            while self.epoch < epochs and not self._spent(began) and self._hopeful():
                whole = self._epoch(task, began)
                self._judge()
                if whole:
                    self._keep()
                last = self.history[-1]
                task.advance(
                    0,
                    f"loss {last['loss']:.3f}"
                    + (f", ndcg@10 {last['score']:.4f}" if self.validation else ""),
                )
        if self.best_state:
            self.network.load_state_dict(self.best_state)
        elif self.average:
            load_parameters(self.network, self.average)
        facts = {
            "seed": self.conditions.seed,
            "seconds": round(time.monotonic() - began, 3),
            "epochs": self.epoch,
            "steps": self.step,
            "horizon": self.horizon,
            "chosen": self.best if self.validation else None,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "targets_per_epoch": self.sequences.n_targets,
            "history": self.history,
        }
        network = self.network.cpu().eval()
        scoring = TorchScoring(network, self.model.length, self.sequences.n_items)
        self._check(scoring)
        name, settings = self.model.name, self.model.settings()
        return Recommender(
            self.training.catalogue, scoring, name, settings, self.training.exclude_seen, facts
        )

    def _plan(self, epoch: int) -> Iterator[Ints]:
        """The batches of an epoch: the same for the same seed, whatever was run before."""
        rng = np.random.default_rng([self.conditions.seed, epoch])
        return batches(self.ends - self.starts, self.model.batch_tokens, rng)

    def _epoch(self, task: Any, began: float) -> bool:
        """One pass over all targets, or up to the last step that is wanted; whether it was a whole one."""
        self.network.train()
        torch.manual_seed(seed_of(self.conditions.seed, self.epoch + 1))
        total, count = torch.zeros((), device=self.device), 0
        started, whole = time.monotonic(), True
        for chosen in self._plan(self.epoch):
            if self._spent(began):
                whole = False
                break
            loss, m = self._batch(self.starts[chosen], self.ends[chosen])
            total += loss * m
            count += m
            if self.step % 50 == 0:
                self._sound(loss)
            speed = count / max(time.monotonic() - started, 1e-9)
            task.advance(1, f"{speed:,.0f} targets/s")
        if count:
            self._sound(total)
        self.history.append({"epoch": self.epoch + 1, "loss": float(total) / max(count, 1), "targets": count})
        self.epoch += 1
        return whole

    def _batch(self, starts: Ints, ends: Ints) -> tuple[Tensor, int]:
        """One optimiser step on the windows `starts..ends`; the mean loss and how many targets it is over."""
        n = self.sequences.n_items
        items = pad(self.sequences.items, starts, ends, n)
        later = pad(self.sequences.items, starts + 1, ends + 1, n)
        flat = torch.from_numpy(np.flatnonzero(later.ravel() != n)).to(self.device)
        targets = torch.from_numpy(later.ravel().astype(np.int64)).to(self.device)[flat]
        states = self.network.states(torch.from_numpy(items.astype(np.int64)).to(self.device))
        queries = states.reshape(-1, states.shape[-1])[flat]
        loss = self.loss(queries, targets, torch.ones_like(queries[:, 0]), self.network.scorer())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.model.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.model.learning_rate * rate(self.step, self.horizon, self.model.warmup)
        self.optimizer.step()
        self.step += 1
        if self.average:
            held = min(self.model.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.network.parameters()], 1 - held)
        return loss.detach(), len(flat)

    def _judge(self) -> None:
        """Scores the validation examples and keeps the state if it is the best so far."""
        if not self.validation:
            return
        own = [p.detach().clone() for p in self.network.parameters()] if self.average else []
        if self.average:
            load_parameters(self.network, self.average)
        scoring = TorchScoring(self.network, self.model.length, self.sequences.n_items)
        self._check(scoring)
        recommender = Recommender(
            self.training.catalogue, scoring, self.model.name, exclude_seen=self.training.exclude_seen
        )
        score = evaluate(recommender, self.validation, metrics=(SELECT,)).value(SELECT)
        self.history[-1]["score"] = score
        if score > self.best["score"]:
            self.best = {"score": score, "epoch": self.epoch, "step": self.step}
            self.best_state = {
                name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()
            }
        if own:
            load_parameters(self.network, own)

    def _hopeful(self) -> bool:
        return not self.validation or self.epoch - self.best["epoch"] < self.model.patience

    def _spent(self, began: float) -> bool:
        minutes = (time.monotonic() - began) / 60
        return bool(
            self.conditions.max_minutes and minutes >= self.conditions.max_minutes and self.step
        ) or bool(self.conditions.steps and self.step >= self.conditions.steps)

    def _sound(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise self._broken(f"the loss ({self.loss.name}) is {float(loss)}")

    def _check(self, scoring: TorchScoring) -> None:
        """Nothing, if the network answers with numbers: its very last step may have broken it, unseen by the loss."""
        queries = self.sequences.queries()
        if not np.isfinite(scoring.score(queries[queries.lengths > 0][:8])).all():
            raise self._broken(
                f"the loss ({self.loss.name}) can no longer be computed, scores are not finite"
            )

    def _broken(self, what: str) -> ModelError:
        return ModelError(
            f"{self.model.name}: {what} at step {self.step}. "
            f"The learning rate {self.model.learning_rate:g} is probably too high: try a third of it."
        )

    def _identity(self) -> dict[str, Any]:
        return {
            "model": self.model.name,
            "settings": json.loads(json.dumps(self.model.settings())),
            "seed": self.conditions.seed,
            "items": self.sequences.n_items,
            "events": len(self.sequences.items),
            "data": self.data,
            "horizon": self.horizon,
        }

    def _keep(self) -> None:
        if self.conditions.checkpoints is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_state.items()}
        tensors |= {f"average.{place}": tensor for place, tensor in enumerate(self.average)}
        for place, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": tensor for name, tensor in state.items()}
        record = self._identity() | {
            "step": self.step,
            "epoch": self.epoch,
            "best": self.best,
            "history": self.history,
        }
        checkpoints.write(self.conditions.checkpoints, Checkpoint(tensors, record))

    def _resume(self) -> None:
        found = (
            checkpoints.read(self.conditions.checkpoints, self._identity())
            if self.conditions.checkpoints
            else None
        )
        if found is None:
            return
        self.network.load_state_dict(found.group("network"))
        self.best_state = found.group("best")
        for place, tensor in found.group("average").items():
            self.average[int(place)].copy_(tensor)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in found.group("optimizer").items():
            place, key = name.split(".", 1)
            state.setdefault(int(place), {})[key] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        record = found.record
        self.step, self.epoch, self.best, self.history = (
            record[k] for k in ("step", "epoch", "best", "history")
        )
        self.conditions.progress.say(f"{self.model.name}: goes on after epoch {self.epoch} of an earlier run")


def _sample(training: Training, most: int) -> Examples | None:
    """The validation examples that are ranked after each epoch: all, or evenly spread ones."""
    examples = training.validation
    if examples is None or len(examples) == 0:
        return None
    if len(examples) <= most:
        return examples
    chosen = np.linspace(0, len(examples) - 1, most).astype(np.int64)
    return replace(
        examples,
        queries=examples.queries[chosen],
        targets=examples.targets[chosen],
        groups=examples.groups[chosen],
        target_ids=examples.target_ids.gather(chosen),
    )


def _fingerprint(sequences: Sequences, validation: Examples | None) -> str:
    """What a run learns from and is judged by, as a short text: a checkpoint of other data is not gone on from."""
    content = sequences.items.tobytes() + sequences.offsets.tobytes()
    if validation is not None:
        content += validation.targets.tobytes() + validation.queries.lengths.tobytes()
    return hashlib.sha256(content).hexdigest()[:16]
