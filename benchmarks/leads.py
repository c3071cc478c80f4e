"""Leads that the field gives for the accuracy of a causal Transformer, one by one from one baseline, on validation.

    ENSUE_DATA=folder python benchmarks/leads.py [lead ...] [--epochs 3] [--data ml-1m] [--seed 0]

The baseline has two blocks of width 64, and cosines over 0.05 as logits. Each row changes one thing, and has the same
epochs, on one thread; what it takes stands beside it. NDCG@10 is over the last event but one of every user, ranked
among the whole catalogue without the items of the history; it is the best epoch's, so that rows can be compared with
each other and with nothing else. The test is not looked at. Users are the same in all rows: the difference to the
baseline has the interval of a paired bootstrap over them. Rows go to results/leads.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ensue.losses import CrossEntropy, Loss, SampledSoftmax
from ensue.models.neural import hstu
from ensue.models.neural.transformer import Transformer
from ensue.neural_model import NeuralModel
from ensue.scorer import Scorer
from machine import machine
from measured import FILES, apart

RESULTS = Path(__file__).resolve().parent / "results" / "leads.json"
KEPT = Path.home() / ".cache" / "ensue-benchmarks" / "leads"


@dataclass(frozen=True)
class Two(Loss):
    """Sampled negatives at first, the whole catalogue for the last of the calls.

    Attributes:
        early: how many calls are sampled.
        calls: those that have been made.
    """

    name: ClassVar[str] = "two"

    early: int = 0
    calls: list[int] = field(default_factory=lambda: [0])

    def __call__(self, queries: Tensor, targets: Tensor, weights: Tensor, scorer: Scorer) -> Tensor:
        """The loss of the stage that it is in."""
        self.calls[0] += 1
        loss: Loss = (
            SampledSoftmax(negatives=512, source="popular") if self.calls[0] <= self.early else CrossEntropy()
        )
        return loss(queries, targets, weights, scorer)


@dataclass(frozen=True)
class InTwoStages(Transformer):
    """Two thirds of the steps with 512 shared negatives by popularity, corrected by logQ, then the full softmax.

    Attributes:
        steps: of all of training, as a plan of its epochs tells.
    """

    steps: int = 0

    def objective(self) -> Loss:
        """The loss that changes."""
        return Two(2 * self.steps // 3)


class Functional(nn.Module):
    """A bias of attention that falls as a power of the time between: `a (1 + seconds)^-b`, by buckets of time.

    Two numbers where the table has 81, so that what is learnt of some gaps holds for all; the bucket of unknown times
    has a number of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.height, self.power = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.1))
        self.unknown = nn.Parameter(torch.zeros(1))
        self.register_buffer("logs", hstu.GROWTH * torch.arange(hstu.BUCKETS), persistent=False)

    def forward(self) -> Tensor:
        """`[81]` what is added for each bucket."""
        seconds = torch.as_tensor(self.logs).exp()
        return torch.cat([self.height * (1 + seconds).pow(-self.power.abs()), self.unknown])


class FunctionalLayer(hstu.HSTULayer):
    """A layer that is told of times by a function which all layers share."""

    def __init__(self, shared: Functional, *settings: Any) -> None:
        super().__init__(*settings, False)
        self.shared = shared

    def bias(self, distance: Tensor, bucket: Tensor | None) -> Tensor:
        """What is added to the products of queries and keys."""
        told = super().bias(distance, None)
        return (
            told if bucket is None else told + nn.functional.embedding(bucket, self.shared()[:, None])[..., 0]
        )


class FunctionalEncoder(hstu.TimedHSTUEncoder):
    """HSTU of such layers."""

    def __init__(self, width: int, length: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__(width, length, blocks, heads, dropout)
        shared = Functional()
        self.layers = nn.ModuleList(
            FunctionalLayer(shared, width, length, heads, dropout) for _ in range(blocks)
        )


@dataclass(frozen=True)
class FunctionalHSTU(hstu.HSTU):
    """HSTU with that encoder."""

    def encoder(self) -> FunctionalEncoder:
        """The stack of layers."""
        return FunctionalEncoder(self.width, self.length, self.blocks, self.heads, self.dropout)


CUT = "no windows over older history"
BASE: dict[str, Any] = {"temperature": 0.05, "learning_rate": 0.002, "batch_tokens": 1024}
TIMED = {"time": "buckets"}
LEADS: dict[str, tuple[type[NeuralModel], dict[str, Any]]] = {
    "baseline": (Transformer, {}),
    "transition prior inside the softmax": (Transformer, {"prior": "rules"}),
    "transition counts beside the network": (Transformer, {"prior": "beside"}),
    "gated blocks and SwiGLU": (Transformer, {"block": "gated", "feed_forward": "swiglu"}),
    "4 blocks": (Transformer, {"blocks": 4}),
    "8 blocks": (Transformer, {"blocks": 8}),
    "plain products in place of cosines": (Transformer, {"temperature": 0.0}),
    "no moving average of the weights": (Transformer, {"ema": 0.0}),
    "moving average .999": (Transformer, {"ema": 0.999}),
    CUT: (Transformer, {}),
    "a fifth of the items dropped, in half of the rows": (
        Transformer,
        {"augment": [{"name": "drop", "share": 0.2}], "augment_share": 0.5},
    ),
    "labels smoothed by 0.1": (Transformer, {"loss": {"name": "cross-entropy", "label_smoothing": 0.1}}),
    "512 shared negatives by popularity, then the full softmax": (InTwoStages, {}),
    "half of the targets among the next five": (Transformer, {"ahead": 5}),
    "vectors begin at what stands together": (Transformer, {"item_start": "together"}),
    "HSTU, no times": (hstu.HSTU, {"time": "none"}),
    "HSTU, times in buckets": (hstu.HSTU, TIMED),
    "HSTU, times by a function": (FunctionalHSTU, TIMED),
}
"""Every lead with what it changes of the baseline; those of HSTU compare with its row without times."""


def main() -> None:
    """Measures what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("leads", nargs="*", help="; ".join(LEADS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data", default="ml-1m")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if "ENSUE_DATA" not in os.environ:
        raise SystemExit("These figures need public data sets: set ENSUE_DATA to the folder that holds them.")
    unknown = [lead for lead in asked.leads if lead not in LEADS]
    if unknown:
        raise SystemExit(f"'{unknown[0]}' is no lead: take one of {'; '.join(LEADS)}.")
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    for lead in asked.leads or LEADS:
        run = {"lead": lead, "data": asked.data, "epochs": asked.epochs, "seed": asked.seed}
        found = apart(__file__, run, "--one") | {"machine": machine()}
        rows = [row for row in rows if any(row[key] != run[key] for key in run)]
        rows.append(found)
        RESULTS.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
        told = [str(found.get(name, "")) for name in ("fault", "best", "difference", "cpu_seconds")]
        print(f"{lead}: {' '.join(text for text in told if text)}", flush=True)


def one(lead: str, data: str, epochs: int, seed: int) -> dict[str, Any]:
    """What a process does: fit, and judge the best epoch on validation."""
    import time

    import numpy as np

    from ensue import read
    from ensue.evaluation import evaluate
    from ensue.model import Conditions, Training
    from ensue.significance import paired
    from ensue.splits import last_out

    split = last_out(read(Path(os.environ["ENSUE_DATA"]) / FILES[data]))
    training = Training.of(split.train)
    validation = split.examples("validation", training.catalogue)
    training = replace(training, validation=validation)
    kind, changed = LEADS[lead]
    model = kind(**(BASE | {"validation_targets": 10**6} | changed))
    if lead == CUT:
        length = model.suited(training.sequences).length
        training = replace(training, sequences=newest(training.sequences, length))
    model = replace(model, epochs=epochs, patience=epochs)
    if isinstance(model, InTwoStages):
        model = replace(model, steps=epochs * steps_of(model, training, seed))
    before = time.process_time()
    fitted = model.fit(training, Conditions(seed=seed))
    cpu = time.process_time() - before
    found = evaluate(fitted, validation, metrics=("recall@10", "ndcg@10"))
    values = found.all.per_user["ndcg@10"]
    KEPT.mkdir(parents=True, exist_ok=True)
    same = f"{data}-{epochs}-{seed}"
    np.save(KEPT / f"{same}-{lead}.npy", values)
    base = KEPT / f"{same}-{'HSTU, no times' if lead.startswith('HSTU') else 'baseline'}.npy"
    row: dict[str, Any] = {"lead": lead, "data": data, "epochs": epochs, "seed": seed}
    if base.exists() and base.stem != f"{same}-{lead}":
        row["difference"] = paired(values, np.load(base)).to_json()["difference"]
    facts = fitted.facts
    return row | {
        "settings": {name: value for name, value in fitted.settings.items() if value is not None},
        "curve": [round(epoch["score"], 4) for epoch in facts["history"] if "score" in epoch],
        "best": {name: round(found.value(name), 4) for name in ("recall@10", "ndcg@10")},
        "parameters": facts.get("parameters", 0),
        "cpu_seconds": round(cpu, 1),
    }


def steps_of(model: NeuralModel, training: Any, seed: int) -> int:
    """How many steps an epoch has."""
    from ensue.model import Conditions
    from ensue.training import Trainer

    trainer = Trainer(model.suited(training.sequences), training, Conditions(seed=seed))
    return sum(1 for _ in trainer.plan(0))


def newest(sequences: Any, most: int) -> Any:
    """The last events of each sequence alone, as many as one window of training reads, and its last target.

    Args:
        sequences: training sequences, whole.
        most: inputs of a window.
    """
    import numpy as np

    from ensue.batching import ranges

    starts = np.maximum(sequences.offsets[:-1], sequences.offsets[1:] - most - 1)
    rows, places = ranges(starts, sequences.offsets[1:])
    offsets = np.append(0, np.cumsum(np.bincount(rows, minlength=len(sequences))))
    times = None if sequences.time is None else sequences.time[places]
    return replace(
        sequences, items=sequences.items[places], offsets=offsets, time=times, rating=None, context={}
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(**json.loads(sys.argv[2]))))
    else:
        main()
