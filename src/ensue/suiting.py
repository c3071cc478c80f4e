"""What a network's settings are where they are left to the data: one rule each, with its reason in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensue.progress import spoken
from ensue.sequences import Sequences

LONGEST = 200
"""The longest window that is taken: time grows with it, and what lies further back says little more."""

EPOCHS, FEWEST_STEPS = 12, 800
"""Passes over the targets, and steps, at least."""

STEPS_AN_EPOCH, FEWEST_TOKENS, MOST_TOKENS = 40, 128, 1024
"""Small batches reach more in the same time (docs/log.md)."""

MANY_ITEMS, NEGATIVES = 50_000, 1024
"""Above so many items the softmax is taken over a draw of this many, by popularity and from the batch."""

LARGE_TABLE = 16_000_000
"""Above so many numbers in its table of items, the optimiser keeps one number per row, and no average is kept."""


SHORT = 50
"""Most events of a history, for 95 in 100 of them, by which a log counts as one of short histories."""

RULES_LONG, RULES_SHORT = (20, 10, 0.7), (10, 5, 0.5)
"""Window, last items and decay of transitions, by which rules do best on long and on short histories (docs/log.md)."""


TYPE = "event"
"""The column of a log that holds the types of events."""

REPEATS_FEW, EVENTS_LOOKED_AT = 0.01, 1_000_000
"""Below which share of events, of the first so many, items are taken not to come again."""

WORTH_SHARING, WORTH_STARTING = 2_000_000, 1.0
"""Targets to train, and minutes to do it in, from which processes are worth the seconds that they take to begin."""

TOKENS_EACH = 512
"""The fewest tokens of a batch that a process is started for."""


@dataclass(frozen=True)
class Choice:
    """A setting that was left to the data.

    Attributes:
        name: of the setting.
        value: what it is.
        reason: why, in words; "" where it follows from another choice.
    """

    name: str
    value: Any
    reason: str = ""


def choices(model: Any, sequences: Sequences) -> Iterator[Choice]:
    """What a network's settings are on these sequences, those alone that were left open.

    Args:
        model: the network's description; 0, "auto" and None leave a setting open.
        sequences: what it will be trained on.
    """
    targets = sequences.n_places
    if sequences.weight is not None:
        yield from _for_the_types(model, sequences)
    if not model.length:
        long = int(np.quantile(sequences.lengths, 0.95)) if len(sequences) else 1
        length = min(max(-(-long // 10) * 10, 10), LONGEST)
        why = f"95 % of the sequences have at most {long} events; {LONGEST} is the most that is taken"
        yield Choice("length", length, f"length {length}, since {why}")
    tokens = model.batch_tokens or min(max(targets // STEPS_AN_EPOCH, FEWEST_TOKENS), MOST_TOKENS)
    steps = max(-(-targets // tokens), 1)
    epochs = model.epochs or max(EPOCHS, -(-FEWEST_STEPS // steps))
    if not (model.batch_tokens and model.epochs):
        why = f"{targets:,} targets make about {steps} steps an epoch"
        yield Choice("batch_tokens", tokens)
        yield Choice("epochs", epochs, f"batches of {tokens} tokens and {epochs} epochs at most, since {why}")
    if not model.patience:
        yield Choice("patience", max(-(-epochs // 2), 1))
    if model.prior != "none":
        yield from _for_the_prior(model, sequences)
    yield from _for_the_catalogue(model, sequences.n_items)


def shares(
    model: Any, sequences: Sequences, cores: int, minutes: float = 0.0, steps: int = 0
) -> Iterator[Choice]:
    """In how many processes, and in how many threads of each, a network is trained; 0 threads are all.

    Threads share large products well. Where a network computes event after event, they wait for each other more than
    they compute: each core is then better off with rows of its own (docs/log.md).

    Args:
        model: the network's description, with every setting filled in.
        sequences: what it will be trained on.
        cores: how many there are.
        minutes: how long it may train; 0 is no limit.
        steps: how many it will make; 0 makes those of all epochs.
    """
    if not model.small_steps:
        yield Choice("processes", 1)
        return
    work = steps * model.batch_tokens or model.epochs * sequences.n_targets
    most = max(min(cores, model.batch_tokens // TOKENS_EACH), 1) if model.contrast is None else 1
    enough = work >= WORTH_SHARING and (not minutes or minutes >= WORTH_STARTING)
    number = most if enough else 1
    why = "since it computes event after event, in products too small for threads to share"
    if number < most:
        short = f"{work:,} targets" if work < WORTH_SHARING else spoken(minutes)
        why += f"; {short} are over too soon to begin {most} processes"
    several = f"{number} processes of one thread each" if number > 1 else "one thread"
    yield Choice("processes", number)
    yield Choice("threads", 1, f"{several}, {why}" if cores > 1 else "")


def _for_the_types(model: Any, sequences: Sequences) -> Iterator[Choice]:
    """With an objective, the type of each event is read where there are several."""
    if TYPE in model.inputs or TYPE not in sequences.context:
        return
    number = sequences.context[TYPE].n_unique()
    if number > 1:
        why = f"reads the type of each event, since histories hold {number}, and the targets are told from the rest"
        yield Choice("inputs", (*model.inputs, TYPE), why)


def _for_the_prior(model: Any, sequences: Sequences) -> Iterator[Choice]:
    """What transitions are counted and asked for."""
    if model.prior_repeats is None:
        share = _repeats(sequences)
        again = share >= REPEATS_FEW
        does = "also" if again else "never"
        why = f"{share:.1%} of the events bring an item of their sequence again"
        yield Choice("prior_repeats", again, f"the prior {does} adds to items of the history, since {why}")
    long = int(np.quantile(sequences.lengths, 0.95)) if len(sequences) else 1
    found = RULES_SHORT if long <= SHORT else RULES_LONG
    names = ("prior_window", "prior_last", "prior_decay")
    chosen = [getattr(model, name) or value for name, value in zip(names, found, strict=True)]
    if chosen == [getattr(model, name) for name in names]:
        return
    window, last, decay = chosen
    kind = "short" if long <= SHORT else "long"
    why = f"95 % of the sequences have at most {long} events, which is {kind}"
    reason = (
        f"a prior of pairs within {window} steps asks the last {last} items, each for {decay:g} of the one after it, "
        f"since {why}"
    )
    for name, value in zip(names, chosen, strict=True):
        yield Choice(name, value, reason if name == names[0] else "")


def _repeats(sequences: Sequences) -> float:
    """The share of targets, of the first sequences, whose item has been in their sequence before."""
    few = sequences.head(max(int(np.searchsorted(sequences.offsets, EVENTS_LOOKED_AT, side="right")) - 1, 1))
    if len(few.items) == 0:
        return 0.0
    which = np.repeat(np.arange(len(few), dtype=np.int64), few.lengths)
    keys = which * few.n_items + few.items
    if few.weight is None:
        return 1 - len(np.unique(keys)) / len(few.items)
    again = np.ones(len(keys), dtype=bool)
    again[np.unique(keys, return_index=True)[1]] = False
    return float(again[few.weight > 0].mean()) if (few.weight > 0).any() else 0.0


def _for_the_catalogue(model: Any, items: int) -> Iterator[Choice]:
    """What depends on how many items there are."""
    if model.loss == "auto":
        many = items > MANY_ITEMS
        drawn = {"name": "sampled-softmax", "source": "mixed", "negatives": NEGATIVES}
        why = f"a softmax over {NEGATIVES:,} drawn items, since {items:,} items are more than {MANY_ITEMS:,}"
        yield Choice("loss", drawn if many else "cross-entropy", why if many else "")
    large = items * model.width > LARGE_TABLE and model.item_vectors != "hashed"
    if model.optimizer == "auto":
        why = f"an optimiser by rows, since the table of items has {items * model.width:,} numbers"
        yield Choice("optimizer", "rowwise" if large else "adamw", why if large else "")
    if model.ema is None:
        yield Choice("ema", 0.0 if large else 0.99, "no moving average of so large a table" if large else "")
