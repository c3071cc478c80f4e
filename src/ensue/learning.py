"""One optimiser step after another: what a network learns from a batch, and how its weights follow.

Random numbers of a step are seeded by the step's number, so that a run which goes on in the middle of an epoch draws
what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ensue.batching import Stretches, parts_of
from ensue.checkpoints import Checkpoint
from ensue.contrast import Contrasting
from ensue.errors import ConfigError
from ensue.feeding import Feed
from ensue.item_vectors import ItemTable
from ensue.losses import Loss, RatingLoss
from ensue.network import Batch, Network
from ensue.optimisation import clipped, rate, seed_of
from ensue.optimizers import optimizer_of
from ensue.rating_head import RatingHead
from ensue.team import ALONE, Team

if TYPE_CHECKING:
    from ensue.model import Conditions
    from ensue.neural_model import NeuralModel

PRECISIONS = ("auto", "single", "bf16", "fp16")
"""What networks compute in while training: 32 bits, or 16 where that is safe; weights and losses stay in 32.

"auto" takes bf16 on a GPU that has it, and 32 bits elsewhere.
"""

FIRST_SCALE = 1024.0
"""What losses are first multiplied by in fp16; torch's own 65,536 overflows, so that the first steps are lost."""

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Lesson(nn.Module):
    """What is learnt from a batch: the loss of all that it trains.

    Args:
        network: what learns.
        loss: what it makes small.
        precision: states are computed in it.
    """

    def __init__(self, network: Network, loss: Loss | RatingLoss, precision: str = "single") -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.kind = TYPES.get(precision)

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        """The sum of the losses of a batch, a scalar, and how many targets it is over.

        Where targets have weights, each loss counts as often as its own; over all of training that is once on average.
        """
        network = self.network
        if network.rating is not None:
            return self._rated(batch, network.rating)
        beside, rated = network.beside, None
        with self._lower(batch.items.device):
            if beside is None:
                sought = network.sought(batch)
            else:
                sought, rated = network.both(batch, beside)
            sought, weights = network.weighed(batch, sought)
        queries, count = sought.queries.float(), len(sought.queries)
        if count == 0:
            return queries.sum() + nothing_of(network), 0
        loss = cast(Loss, self.loss)
        scorer = network.scorer().told(network.told(batch, sought.places))
        whole = count if weights is None else weights.sum()
        weights = torch.ones_like(queries[:, 0]) if weights is None else weights
        total = loss(queries, sought.targets, weights, scorer) * whole
        if beside is not None and rated is not None:
            total = total + beside.lost(rated, network.items)
        return total, count

    def _rated(self, batch: Batch, head: RatingHead) -> tuple[Tensor, int]:
        """The same of ratings."""
        with self._lower(batch.items.device):
            scores, ratings, weights = self.network.rated(batch)
        scores, count = scores.float(), len(scores)
        if count == 0:
            return scores.sum() + nothing_of(self.network), 0
        return head.lost(scores, ratings, weights) * (count if weights is None else weights.sum()), count

    def _lower(self, device: torch.device) -> AbstractContextManager[Any]:
        return nullcontext() if self.kind is None else torch.autocast(device.type, dtype=self.kind)


def nothing_of(module: nn.Module) -> Tensor:
    """Zero, made of all weights but those of tables that learn by rows: each has a gradient then, which is zero.

    The processes of a team wait for the gradient of every weight, also where one of them has no target in its rows.

    Args:
        module: whose weights they are.
    """
    tables = [table for table in module.modules() if isinstance(table, ItemTable) and table.sparse]
    by_rows = {id(weight) for table in tables for weight in table.parameters()}
    return sum(
        (0 * weight.sum() for weight in module.parameters() if id(weight) not in by_rows), torch.zeros(())
    )


def precision_of(wanted: str, device: torch.device) -> str:
    """What a network computes in on a device.

    Raises:
        ConfigError: there is no such precision.
    """
    if wanted not in PRECISIONS:
        raise ConfigError(f"precision='{wanted}' must be one of {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return wanted
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "single"


SCALING = {"scale": "scale", "since": "_growth_tracker"}
"""What the scaling of gradients changes as it goes: the factor, and for how many steps it has held."""


class Learner:
    """A network, its optimiser, and the moving average of its weights, at some step.

    Args:
        network: freshly initialised, on its device.
        model: whose settings are followed.
        feed: makes the batches.
        conditions: seed, precision, and the limits of what is computed at once.
        contrasting: a second loss over views of every row; None for none.
        team: the processes that share every batch.
    """

    def __init__(
        self,
        network: Network,
        model: NeuralModel,
        feed: Feed,
        conditions: Conditions,
        contrasting: Contrasting | None = None,
        team: Team = ALONE,
    ) -> None:
        self.network, self.model, self.feed, self.conditions = network, model, feed, conditions
        self.contrasting, self.team = contrasting, team
        precision = precision_of(conditions.precision, feed.device)
        lesson = Lesson(network, model.objective(), precision)
        if conditions.compile:
            network.encoder.compile(dynamic=True)
        self.lesson = team.joined(lesson)
        optimizer = optimizer_of(model.optimizer)
        self.optimizer = optimizer.build(network, model.learning_rate, model.weight_decay)
        for table in network.modules():
            if isinstance(table, ItemTable):
                table.sparse = optimizer.by_rows and team.size == 1
        self.scaler = torch.amp.GradScaler(feed.device.type, FIRST_SCALE, enabled=precision == "fp16")
        self.average = [p.detach().clone() for p in network.parameters()] if model.ema else []
        self.step = 0

    def learn(self, stretches: Stretches, horizon: int) -> tuple[Tensor, int]:
        """One optimiser step on a batch; the mean loss of its targets, and how many there are.

        A batch of more tokens than are computed at once is computed in parts, whose gradients add up to the same; so
        do those of the processes of a team.

        Args:
            stretches: the batch.
            horizon: over how many steps the rate falls.
        """
        rank = self.team.rank
        torch.manual_seed(seed_of(self.conditions.seed, self.step + 1, rank))
        self.feed.begin(np.random.default_rng([self.conditions.seed, self.step, 1, rank]))
        self.optimizer.zero_grad(set_to_none=True)
        # the targets of the batch, as far as they are known before: networks that draw them correct for it below
        share = 1 / max(int((stretches.ends - stretches.starts).sum()), 1)
        own, silent = self.team.share(stretches)
        parts = list(parts_of(own, self.conditions.tokens_at_once))
        total, count = torch.zeros((), device=self.feed.device), 0
        for place, part in enumerate(parts):
            with self.team.apart(self.lesson, place < len(parts) - 1):
                loss, number = self.lesson(self.feed.batch(part))
                loss, number = (loss * 0, 0) if silent else (loss, number)
                total += loss.detach()
                count += number
                if self.contrasting is not None:
                    loss = loss + number * self.contrasting(self.network, part)
                self.scaler.scale(loss * (share * self.team.size)).backward()
        total, count = self.team.sum(total, count)
        self._follow(1 / (share * max(count, 1)), horizon)
        return total / max(count, 1), count

    def _follow(self, correction: float, horizon: int) -> None:
        """The weights, and their average, follow the gradient, once it is over what was really trained."""
        optimizer: Any = self.optimizer
        self.scaler.unscale_(optimizer)
        parameters = list(self.network.parameters())
        clipped(parameters, self.model.clip, correction)
        pace = self.model.learning_rate * rate(self.step, horizon, self.model.warmup, self.model.schedule)
        for group in optimizer.param_groups:
            group["lr"] = pace
        self.scaler.step(optimizer)
        self.scaler.update()
        self.step += 1
        if self.average:
            held = min(self.model.ema or 0.0, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, [p.detach() for p in parameters], 1 - held)

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint must hold of it, by name: weights, average, optimiser, what is carried."""
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        found |= {f"carried.{name}": tensor for name, tensor in self._carried().items()}
        found |= {f"average.{place}": tensor for place, tensor in enumerate(self.average)}
        for place, state in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{place}.{name}": tensor for name, tensor in state.items()}
        if self.scaler.is_enabled():
            scaling = self.scaler.state_dict()
            found |= {f"scaler.{name}": torch.tensor(scaling[key]) for name, key in SCALING.items()}
        return found

    def restore(self, step: int, kept: Checkpoint) -> None:
        """Goes on from what `tensors` gave.

        Args:
            step: how many had been made.
            kept: holds the tensors.
        """
        self.step = step
        self.network.load_state_dict(kept.group("network"))
        for name, tensor in kept.group("carried").items():
            module, _, buffer = name.rpartition(".")
            setattr(self.network.get_submodule(module), buffer, tensor.to(self.feed.device))
        for place, tensor in kept.group("average").items():
            self.average[int(place)].copy_(tensor)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in kept.group("optimizer").items():
            place, key = name.split(".", 1)
            state.setdefault(int(place), {})[key] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        if self.scaler.is_enabled():
            told = kept.group("scaler")
            now = {key: told[name].item() for name, key in SCALING.items() if name in told}
            self.scaler.load_state_dict(self.scaler.state_dict() | now)

    def _carried(self) -> dict[str, Tensor]:
        """What networks carry from batch to batch, which is no part of a saved model."""
        return {n: b for n, b in self.network.named_buffers() if n.rpartition(".")[2] == "carried"}
