"""Losses by name and by table."""

from __future__ import annotations

from typing import Any

import pytest

from ensue import losses as package
from ensue.errors import ConfigError
from ensue.losses import CrossEntropy, SampledSoftmax, loss_of, losses
from ensue.losses.pairwise import BPRMax


def test_losses_are_found_by_name_and_by_table() -> None:
    names = ("bce", "gbce", "cross-entropy", "bpr", "bpr-max", "top1-max", "sampled-softmax")
    assert losses.names() == names
    assert loss_of("cross-entropy") == CrossEntropy()
    assert loss_of({"name": "cross-entropy", "label_smoothing": 0.1}) == CrossEntropy(0.1)
    assert loss_of({"name": "sampled-softmax", "negatives": 3}) == SampledSoftmax(3)
    assert loss_of({"name": "bpr-max", "source": "batch", "regularisation": 0}) == BPRMax(
        source="batch", regularisation=0.0
    )


def test_what_is_promised_can_be_imported() -> None:
    assert all(hasattr(package, name) for name in package.__all__)


SOME = "bce, gbce, cross-entropy, bpr, bpr-max, top1-max, sampled-softmax"


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ("cross-entrpy", f"no loss is called 'cross-entrpy'; there are {SOME}. Did you mean 'cross-entropy'?"),
        ({"negatives": 3}, "A loss needs a name, such as {name = \"cross-entropy\"}; got {'negatives': 3}."),
        ({"name": "sampled-softmax", "negative": 3}, "The loss sampled-softmax has no setting 'negative'; "
         "it has negatives, shared, source, power, logq, label_smoothing. Did you mean 'negatives'?"),
        ({"name": "sampled-softmax", "negatives": "many"}, "The loss sampled-softmax: negatives = 'many': "
         "input should be a valid integer."),
        ({"name": "sampled-softmax", "negatives": 0}, "sampled-softmax: negatives=0 must be at least 1."),
        ({"name": "sampled-softmax", "label_smoothing": 1}, "sampled-softmax: label_smoothing=1 must lie from 0 "
         "up to 1."),
        ({"name": "cross-entropy", "label_smoothing": 1}, "cross-entropy: label_smoothing=1 must lie from 0 "
         "up to 1."),
        ({"name": "bce", "label_smoothing": -1}, "bce: label_smoothing=-1 must lie from 0 up to 1."),
        ({"name": "gbce", "calibration": 1.5}, "gbce: calibration=1.5 must lie from 0 to 1."),
        ({"name": "bpr", "source": "popluar"}, "bpr: source='popluar' must be one of even, popular, batch, mixed. "
         "Did you mean 'popular'?"),
        ({"name": "bpr", "source": "batch", "shared": False}, "bpr: source='batch' takes the targets of the batch, "
         "which all queries share: take shared=true, or another source."),
        ({"name": "bpr", "power": -1}, "bpr: power=-1 must be at least 0."),
        ({"name": "bpr-max", "regularisation": -1}, "bpr-max: regularisation=-1 must not be negative."),
    ],
)  # fmt: skip
def test_a_wrong_loss_gives_one_clear_line(described: Any, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        loss_of(described)
    assert str(told.value) == says
