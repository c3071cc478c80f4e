"""What other columns and users add to a network, each against its arithmetic."""

from __future__ import annotations

import polars as pl
import torch

from ensue.encodings import Encodings
from ensue.inputs import GAPS
from ensue.side import Side, Users

COLUMNS = {"city": pl.Series(["here", "there", "here"]), "price": pl.Series([1.0, 3.0, None])}
ENCODINGS = Encodings.fit(COLUMNS, ("city", "price"))


def test_what_columns_say_is_added_up() -> None:
    side = Side(("city", "price", "gap"), ENCODINGS, 4)
    fields = {
        "city": torch.tensor([[1, 0]]),
        "price": torch.tensor([[2.0, -1.0]]),
        "gap": torch.tensor([[GAPS, 3]]),
    }
    city, gap = (side.tables[key].get_parameter("weight") for key in ("0", "2"))
    line = side.lines["1"].get_parameter("weight")
    expected = torch.stack([city[1] + 2 * line[:, 0] + gap[GAPS], city[0] - line[:, 0] + gap[3]])
    torch.testing.assert_close(side(fields)[0], expected)


def test_a_number_that_is_missing_has_a_vector_of_its_own() -> None:
    side = Side(("price",), ENCODINGS, 4)
    said = side({"price": torch.tensor([[float("nan"), 0.0]])})[0]
    torch.testing.assert_close(said[0], side.lines["0"].get_parameter("weight")[:, 1])
    torch.testing.assert_close(said[1], torch.zeros(4))  # the mean of training says nothing


def test_what_training_did_not_see_says_nothing_and_what_is_missing_is_learnt_from_nothing() -> None:
    side = Side(("city",), ENCODINGS, 4)
    codes = ENCODINGS["city"].codes(pl.Series(["elsewhere", None, "here"]))
    said = side({"city": torch.from_numpy(codes)[None]})[0]
    assert said[:2].tolist() == [[0.0] * 4] * 2
    assert said[2].abs().sum() > 0


def test_a_vector_of_a_user_is_added_to_the_inputs_alone() -> None:
    users, x = Users(2, 3, "embedding"), torch.randn(2, 4, 3)
    entered = users.enter(x, torch.tensor([1, 2]))  # 2 is an unknown one
    torch.testing.assert_close(entered[0], x[0] + users.table[1])
    assert torch.equal(entered[1], x[1])
    assert torch.equal(users.leave(x, torch.tensor([1, 2])), x)


def test_an_adapter_stretches_and_shifts_the_states_alone() -> None:
    users, states = Users(2, 3, "adapter"), torch.randn(2, 4, 3)
    known = torch.tensor([1, 2])
    assert torch.equal(users.leave(states, known), states)  # it begins with no change
    with torch.no_grad():
        users.table[1] = torch.tensor([1.0, 0.0, -0.5, 7.0, 8.0, 9.0])
    left = users.leave(states, known)
    expected = states[0] * torch.tensor([2.0, 1.0, 0.5]) + torch.tensor([7.0, 8.0, 9.0])
    torch.testing.assert_close(left[0], expected)
    assert torch.equal(left[1], states[1])
    assert torch.equal(users.enter(states, known), states)
