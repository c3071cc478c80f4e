"""Figures of orders: places of choices, means over sessions, and differences on the same sessions."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import polars as pl
import pytest

from ensue.errors import DataError
from ensue.reranking import Order, Shown, compared, read_shown
from ensue.reranking.evaluating import ENGINE, OURS, reciprocal

LISTS = pl.DataFrame(
    {
        "list": [1, 1, 1, 2, 2, 2, 3, 3, 3],
        "session": ["s", "s", "s", "s", "s", "s", "t", "t", "t"],
        "item": list("abcabcabc"),
        "chosen": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    }
)
BETTER = np.array([1.0, 0, 0, 0, 1, 0, 0, 1, 1])


def test_each_session_counts_alike_and_each_list_in_the_figure_over_lists() -> None:
    shown = read_shown(LISTS)
    found = compared([Order(ENGINE, ()), Order(OURS, (BETTER,))], shown)
    engine, ours = found.rows
    assert engine.figures["mrr"].value == pytest.approx(((1 + 1 / 2) / 2 + 1 / 3) / 2)
    assert engine.over_lists["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert ours.figures["mrr"].value == pytest.approx(
        ((1 + 1) / 2 + 1 / 2) / 2
    )  # equals stay in the engine's order
    assert ours.figures["ndcg@10"].value == pytest.approx((1 + 1 / log2(3)) / 2)
    assert engine.figures["recall@1"].value == pytest.approx((1 / 2 + 0) / 2)
    assert engine.against["mrr"].difference.value == pytest.approx(3 / 4 - 13 / 24)
    assert ours.against == {}
    assert (found.lists, found.sessions) == (3, 2)
    assert reciprocal(Order(OURS, (BETTER,)), shown) == pytest.approx(3 / 4)


def test_segments_are_of_lists_of_which_something_was_touched(shown: Shown) -> None:
    found = compared([Order(ENGINE, ()), Order(OURS, (np.zeros(len(shown.items)),))], shown)
    touched, untouched = (
        found.segments["a candidate was touched before"],
        found.segments["none was touched before"],
    )
    assert touched["lists"] + untouched["lists"] == len(shown)
    assert touched[ENGINE] == touched[OURS]
    assert touched["difference"]["value"] == 0


def test_choices_that_are_not_known_cannot_be_measured() -> None:
    shown = read_shown(LISTS)
    blank = replace(shown, chosen=np.full(3, -1))
    with pytest.raises(DataError, match="no choice"):
        compared([Order(ENGINE, ()), Order(OURS, (BETTER,))], blank)
