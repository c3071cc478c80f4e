"""The training loop of every network: epochs, validation, limits, and going on from where an earlier run stopped.

Every target of every sequence is trained once per epoch, or one that came a little later (`ensue.aiming`), in
right-padded batches of like length under a token budget. Validation ranks the whole catalogue; the best state is kept,
or the moving average of the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ensue import checkpoints
from ensue.aiming import Aiming
from ensue.batching import Stretches, windows
from ensue.checkpoints import Checkpoint
from ensue.contrast import Contrasting, contrast_of
from ensue.errors import ModelError
from ensue.expected_ratings import rating_facts
from ensue.export import TorchScoring
from ensue.feeding import Feed
from ensue.item_vectors import grown
from ensue.judging import SELECT, Judge
from ensue.learning import Learner
from ensue.model import Conditions, Training
from ensue.optimisation import device_of, load_parameters
from ensue.progress import spoken
from ensue.ranking import Recommender
from ensue.rated_beside import BESIDE
from ensue.second_head import weight_beside
from ensue.sequences import Sequences
from ensue.stopping import Stop, stoppable
from ensue.team import ALONE, Team
from ensue.weighing import Weigher, best_of

if TYPE_CHECKING:
    from ensue.domain import Domain
    from ensue.neural_model import NeuralModel

LOOKS = 50
"""Steps between two looks at the loss for numbers that are none: a look waits for the device."""

FIRST_LOOK = 20
"""Steps after which it is known how long one takes."""


class Trainer:
    """One fit of one network.

    Args:
        model: with every setting filled in.
        training: what it learns from.
        conditions: how the fit goes.
        team: the processes that learn together.
        domain: what the network is built over; None fits it on the training sequences.
        weights: to begin with, by name; of tables of fewer items, the first rows. None draws them.
    """

    def __init__(
        self,
        model: NeuralModel,
        training: Training,
        conditions: Conditions,
        team: Team = ALONE,
        domain: Domain | None = None,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        self.model, self.training, self.conditions, self.team = model, training, conditions, team
        self.sequences: Sequences = training.sequences
        if self.sequences.n_places == 0:
            raise ModelError(
                f"{model.name}: no sequence holds two events, so there is nothing that comes next to learn from."
            )
        if self.sequences.n_targets == 0:
            raise ModelError(
                f"{model.name}: no target comes after another event ({training.objective.words}), so there is nothing "
                "to learn from."
            )
        device = device_of(conditions.device)
        domain = domain or model.domain(training)
        self.network = model.network(domain).to(device)
        if weights is not None:
            self.network.load_state_dict(grown(model.name, self.network.state_dict(), weights))
        self.goes_on = weights is not None
        self.inputs, self.features = domain.inputs, domain.features
        self.notes = domain.notes(model.name, model.features)
        inside = domain.prior if model.prior == "rules" else None
        both = weight_beside(model, training) > 0
        rated, aiming = model.rates or both, Aiming(model.ahead, model.ahead_share)
        feed = Feed(self.sequences, self.inputs, device, model.augmenting(), rated, inside, aiming)
        self.starts, self.ends = windows(self.sequences.offsets, model.length)
        contrast = contrast_of(model.contrast)
        contrasting = None if contrast is None else Contrasting(contrast, feed, self.starts, self.ends)
        self.learner = Learner(self.network, model, feed, conditions, contrasting, team)
        self.horizon = conditions.horizon or model.epochs * sum(1 for _ in self.plan(0))
        self.answers = rating_facts(self.sequences.rating) if model.rates or both else {}
        self.answers = {BESIDE: self.answers} if both else self.answers
        self.judge = Judge.of(training, model.validation_targets, model.rates, self._say)
        self.weigher = self._weigher()
        self.data = feed.fingerprint(self.judge.examples)
        self.epoch, self.place, self.count = 0, 0, 0
        self.total = torch.zeros((), device=device)
        self.history: list[dict[str, float]] = []
        self.earlier = 0.0
        """Seconds of training before this process went on."""
        self.first = 0
        """The step from which this process goes on."""
        self.began = self.kept = time.monotonic()
        """When training began, and when its state was last kept."""

    def _say(self, text: str) -> None:
        """Tells whoever follows, under the model's name."""
        self.conditions.progress.say(f"{self.model.name}: {text}")

    def fit(self) -> Recommender:
        """Trains until the epochs, the patience, the steps or the minutes are used up.

        Raises:
            ModelError: the loss stopped being a number, or a checkpoint is of another run.
            KeyboardInterrupt: it was told to stop; where checkpoints are kept, its state is.
        """
        self.began = self.kept = time.monotonic()
        for line in self.notes:
            self.conditions.progress.say(line)
        self._resume()
        self.first = self.learner.step
        epochs = self.model.epochs if not self.conditions.steps else 10**9
        progress = self.conditions.progress
        with (
            stoppable(self.conditions.checkpoints is not None) as stop,
            progress.task(self.model.name, max(self.conditions.steps, 0) or self.horizon) as task,
        ):
            task.advance(self.learner.step)
            if self.goes_on and not self.first:
                self._judged()
            while self.epoch < epochs and not self._spent() and self._hopeful():
                if not self._epoch(task, stop):
                    self._judged()
                    break
                self._judged()
                self._fit_in()
                self._keep()
                task.advance(0, self._told())
            if any(self.team.told(stop.asked)):  # while it was judged: what comes after is not begun
                raise KeyboardInterrupt
        return self._recommender()

    def plan(self, epoch: int) -> Iterator[Stretches]:
        """The batches of an epoch: the same for the same seed, whatever was run before.

        Args:
            epoch: from 0.
        """
        rng = np.random.default_rng([self.conditions.seed, epoch])
        return self.model.plan(self.sequences, self.starts, self.ends, rng)

    def learn(self, stretches: Stretches) -> tuple[Tensor, int]:
        """One optimiser step; the mean loss of the targets of a batch, and how many they are.

        Args:
            stretches: the batch.
        """
        return self.learner.learn(stretches, self.horizon)

    def _epoch(self, task: Any, stop: Stop) -> bool:
        """The rest of an epoch, or up to the last step that is wanted; whether it was trained to its end."""
        self.network.train()
        started, before, whole = time.monotonic(), self.count, True
        for place, stretches in enumerate(self.plan(self.epoch)):
            if place < self.place:
                continue
            if self._spent():
                whole = False
                break
            loss, count = self.learn(stretches)
            self.place, self.count = place + 1, self.count + count
            self.total += loss * count
            if self.learner.step % LOOKS == 0:
                self._sound(loss)
            if self.learner.step == self.first + FIRST_LOOK:
                self._fit_in()
            speed = (self.count - before) / max(time.monotonic() - started, 1e-9)
            task.advance(1, f"{speed:,.0f} targets/s")
            self._pause(stop)
        if self.count:
            self._sound(self.total)
        loss_of_epoch = float(self.total) / max(self.count, 1)
        self.history.append({"epoch": self.epoch + 1, "loss": loss_of_epoch, "targets": self.count})
        self.epoch, self.place, self.count = self.epoch + 1, 0, 0
        self.total = torch.zeros_like(self.total)
        return whole

    def _pause(self, stop: Stop) -> None:
        """Keeps the state if it is time to, and stops if it was told to."""
        late = time.monotonic() - self.kept > 60 * self.conditions.checkpoint_minutes
        stopped, late = (bool(said) for said in self.team.told(stop.asked, late))
        if stopped or late:
            self._keep()
        if stopped:
            self._say(f"stopped after step {self.learner.step:,}; the same command goes on from there")
            raise KeyboardInterrupt

    def _judged(self) -> None:
        """Scores the validation examples and keeps the weights if they are the best so far."""
        if self.judge.examples is None:
            return
        score = ended = 0.0
        own = [p.detach().clone() for p in self.network.parameters()] if self.learner.average else []
        if own:
            load_parameters(self.network, self.learner.average)
        if self.team.leads:
            scoring = TorchScoring(self.network, self.inputs)
            self._check(scoring)
            with self.team.spared():
                score = self._score(scoring)
            ended = self.judge.enough(self.conditions.stop, self.epoch, score)
        score, ended = self.team.told(score, ended)
        if self.history:
            self.history[-1]["score"] = score
        better = self.judge.take(score, self.epoch, self.learner.step, self._weights)
        if better and self.weigher is not None:
            self.weigher.kept()
        self.judge.ended = bool(ended)
        if own:
            load_parameters(self.network, own)

    def _score(self, scoring: TorchScoring) -> float:
        """What the network scores now; with a prior that is to be weighed, at the weight that is best for it now."""
        if self.weigher is not None and self.judge.examples:
            score = self.weigher.judged(scoring.plain, self.judge.examples)
            if score is not None and self.judge.metric == SELECT:
                return score
        catalogue, seen = self.training.catalogue, self.training.exclude_seen
        return self.judge.measured(
            Recommender(catalogue, scoring, self.model.name, exclude_seen=seen, facts=self.answers)
        )

    def _weigher(self) -> Weigher | None:
        """Finds the weight of the prior beside the network; None if there is none, or its weight is given."""
        prior = self.network.prior
        if prior is None or prior.learnt or self.model.prior_weight is not None:
            return None
        return Weigher(prior, self.training.exclude_seen, SELECT)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def _recommender(self) -> Recommender:
        """What was learnt: the best state, or the last."""
        if self.judge.state:
            self.network.load_state_dict(self.judge.state)
        elif self.learner.average:
            load_parameters(self.network, self.learner.average)
        facts = {
            "seed": self.conditions.seed,
            "seconds": round(self.earlier + time.monotonic() - self.began, 3),
            "epochs": self.epoch,
            "steps": self.learner.step,
            "horizon": self.horizon,
            "processes": self.team.size,
            "chosen": None if self.judge.examples is None else self.judge.to_json(),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "targets_per_epoch": self.sequences.n_targets,
            "history": self.history,
            **self.answers,
        }
        self.network.encoder._compiled_call_impl = None
        scoring = TorchScoring(self.network.cpu().eval(), self.inputs, self.features)
        self._check(scoring)
        name, settings = self.model.name, self.model.settings()
        if self.network.prior is not None:
            settings |= self._weighed(scoring)
            facts["prior"] = self.network.prior.leaning().to_json()
        return Recommender(
            self.training.catalogue, scoring, name, settings, self.training.exclude_seen, facts
        )

    def _weighed(self, scoring: TorchScoring) -> dict[str, Any]:
        """The settings that a prior beside the network ends with: the weight that does best on validation."""
        examples, weigher = self.training.validation, self.weigher
        if weigher is None or not examples:
            return {}
        best = float(weigher.prior.alpha)
        if self.team.leads:
            with self.team.spared():
                scores = weigher.at_last(scoring.plain, examples)
            best = best_of(scores)
            self._say(
                f"the prior beside it counts {best:g} times: {SELECT} on validation is "
                f"{scores[best]:.4f}, and {scores[0.0]:.4f} without it"
            )
        (best,) = self.team.told(best)
        weigher.prior.alpha.fill_(best)
        return {"prior_weight": best}

    def _told(self) -> str:
        """How the last epoch went, in words."""
        last = self.history[-1]
        score = f", {self.judge.metric} {last['score']:.4f}" if "score" in last else ""
        return f"loss {last['loss']:.3f}{score}"

    def _hopeful(self) -> bool:
        return self.judge.hopeful(self.epoch, self.model.patience)

    def _spent(self) -> bool:
        """Whether the minutes or the steps are used up."""
        most, steps = 60 * self.conditions.max_minutes, self.conditions.steps
        late = bool(most and time.monotonic() - self.began >= most and self.learner.step > self.first)
        (late,) = (bool(said) for said in self.team.told(late)) if most else (False,)
        return late or bool(steps and self.learner.step >= steps)

    def _fit_in(self) -> None:
        """Lets the learning rate fall within the minutes that are left, where the epochs would not fit into them."""
        most, made = 60 * self.conditions.max_minutes, self.learner.step - self.first
        if not most or self.conditions.steps or not made:
            return
        spent = time.monotonic() - self.began
        fits = self.learner.step + int((most - spent) / (spent / made))
        (fits,) = (int(said) for said in self.team.told(fits))
        if fits < self.horizon:
            if fits < 0.95 * self.horizon:
                self._say(
                    f"the learning rate falls over {fits:,} steps, not {self.horizon:,}: "
                    f"that is what fits into {spoken(self.conditions.max_minutes)} at {spent / made:.3f} s a step"
                )
            self.horizon = max(fits, 1)

    def _sound(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise self._broken(f"the loss ({self.model.objective().name}) is {float(loss)}")

    def _check(self, scoring: TorchScoring) -> None:
        """Nothing, if the network answers with numbers: its very last step may have broken it, unseen by the loss."""
        if not np.isfinite(scoring.score(self.sequences.head(8).queries())).all():
            name = self.model.objective().name
            raise self._broken(f"the loss ({name}) can no longer be computed, scores are not finite")

    def _broken(self, what: str) -> ModelError:
        return ModelError(
            f"{self.model.name}: {what} at step {self.learner.step}. "
            f"The learning rate {self.model.learning_rate:g} is probably too high: try a third of it."
        )

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on as if it had never stopped."""
        return {
            "model": self.model.name,
            "settings": json.loads(json.dumps(self.model.settings())),
            "seed": self.conditions.seed,
            "items": self.sequences.n_items,
            "events": len(self.sequences.items),
            "data": self.data,
            "processes": self.team.size,
            "horizon_asked": self.conditions.horizon,
            "precision": self.conditions.precision,
            **({"beside": self.training.objective.rating} if self.network.beside is not None else {}),
        }

    def _keep(self) -> None:
        """Writes a checkpoint, in the process that leads."""
        self.kept = time.monotonic()
        if self.conditions.checkpoints is None or not self.team.leads:
            return
        tensors = self.learner.tensors() | {"sum.loss": self.total}
        tensors |= {f"best.{name}": tensor for name, tensor in self.judge.state.items()}
        record = self._identity() | {
            "step": self.learner.step,
            "horizon": self.horizon,
            "epoch": self.epoch,
            "place": self.place,
            "count": self.count,
            "seconds": self.earlier + time.monotonic() - self.began,
            "best": self.judge.to_json(),
            "history": self.history,
        }
        checkpoints.write(self.conditions.checkpoints, Checkpoint(tensors, record))

    def _resume(self) -> None:
        """Goes on from the checkpoint of an earlier run, if there is one."""
        folder, progress = self.conditions.checkpoints, self.conditions.progress
        found = None if folder is None else checkpoints.read(folder, self._identity(), progress.say)
        if found is None:
            return
        record, best = found.record, found.record["best"]
        self.learner.restore(record["step"], found)
        self.total.copy_(found.group("sum")["loss"])
        self.horizon, self.epoch, self.place, self.count, self.history, self.earlier = (
            record[name] for name in ("horizon", "epoch", "place", "count", "history", "seconds")
        )
        judge = self.judge
        judge.score, judge.epoch, judge.step = best["score"], best["epoch"], best["step"]
        judge.state = found.group("best")
        within = f", {self.place} batches into the next" if self.place else ""
        progress.say(f"{self.model.name}: goes on after epoch {self.epoch} of an earlier run{within}")
