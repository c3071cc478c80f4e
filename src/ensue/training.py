"""The training loop of every network, and the state that a checkpoint keeps.

Every target of every sequence is trained once per epoch, in right-padded batches of like length under a token
budget. Validation ranks the whole catalogue; the best state is kept, or the moving average of the weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ensue import checkpoints
from ensue.batching import Stretches, windows
from ensue.checkpoints import Checkpoint
from ensue.contrast import Contrasting, contrast_of
from ensue.errors import ModelError
from ensue.evaluation import evaluate
from ensue.export import TorchScoring
from ensue.feeding import Feed
from ensue.model import Conditions, Training
from ensue.network import Batch
from ensue.optimisation import device_of, load_parameters, rate, seed_of
from ensue.optimizers import optimizer_of
from ensue.ranking import Recommender
from ensue.sequences import Sequences
from ensue.splits import Examples

if TYPE_CHECKING:
    from ensue.neural_model import NeuralModel

SELECT = "ndcg@10"
"""The metric on validation by which an epoch is chosen."""


class Trainer:
    """One fit of one network: the loop, and the state that a checkpoint keeps."""

    def __init__(self, model: NeuralModel, training: Training, conditions: Conditions) -> None:
        self.model, self.training, self.conditions = model, training, conditions
        self.sequences: Sequences = training.sequences
        if self.sequences.n_targets == 0:
            raise ModelError(
                f"{model.name}: no sequence holds two events, so there is nothing that comes next to learn from."
            )
        self.device = device_of(conditions.device)
        self.loss: Any = model.objective()
        domain = model.domain(training)
        self.network = model.network(domain).to(self.device)
        self.inputs, self.features = domain.inputs, domain.features
        self.feed = Feed(self.sequences, self.inputs, self.device, model.augmenting(), model.rates)
        optimizer = optimizer_of(model.optimizer)
        self.optimizer = optimizer.build(self.network, model.learning_rate, model.weight_decay)
        self.average = [p.detach().clone() for p in self.network.parameters()] if model.ema else []
        self.starts, self.ends = windows(self.sequences.offsets, model.length)
        contrast = contrast_of(model.contrast)
        self.contrasting = (
            None if contrast is None else Contrasting(contrast, self.feed, self.starts, self.ends)
        )
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
        scoring = TorchScoring(network, self.inputs, self.features)
        self._check(scoring)
        name, settings = self.model.name, self.model.settings()
        return Recommender(
            self.training.catalogue, scoring, name, settings, self.training.exclude_seen, facts
        )

    def _plan(self, epoch: int) -> Iterator[Stretches]:
        """The batches of an epoch: the same for the same seed, whatever was run before."""
        rng = np.random.default_rng([self.conditions.seed, epoch])
        return self.model.plan(self.sequences, self.starts, self.ends, rng)

    def _epoch(self, task: Any, began: float) -> bool:
        """One pass over all targets, or up to the last step that is wanted; whether it was a whole one."""
        self.network.train()
        torch.manual_seed(seed_of(self.conditions.seed, self.epoch + 1))
        self.feed.begin(np.random.default_rng([self.conditions.seed, self.epoch, 1]))
        total, count = torch.zeros((), device=self.device), 0
        started, whole = time.monotonic(), True
        for stretches in self._plan(self.epoch):
            if self._spent(began):
                whole = False
                break
            loss, m = self._batch(stretches)
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

    def _batch(self, stretches: Stretches) -> tuple[Tensor, int]:
        """One optimiser step on a batch; the mean loss and how many targets it is over."""
        mean, count = self._learnt(self.feed.batch(stretches))
        loss = mean
        if self.contrasting is not None:
            loss = mean + self.contrasting(self.network, stretches)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.model.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.model.learning_rate * rate(
                self.step, self.horizon, self.model.warmup, self.model.schedule
            )
        self.optimizer.step()
        self.step += 1
        if self.average:
            held = min(self.model.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.network.parameters()], 1 - held)
        return mean.detach(), count

    def _learnt(self, batch: Batch) -> tuple[Tensor, int]:
        """The mean loss of a batch, and how many targets it is over."""
        if self.network.rating is not None:
            scores, ratings = self.network.rated(batch)
            return self.network.rating.lost(scores, ratings) if len(scores) else scores.sum(), len(scores)
        queries, targets = self.network.pairs(batch)
        ones = torch.ones_like(queries[:, 0])
        return self.loss(queries, targets, ones, self.network.scorer()), len(targets)

    def _judge(self) -> None:
        """Scores the validation examples and keeps the state if it is the best so far."""
        if not self.validation:
            return
        own = [p.detach().clone() for p in self.network.parameters()] if self.average else []
        if self.average:
            load_parameters(self.network, self.average)
        scoring = TorchScoring(self.network, self.inputs)
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
