"""Spaces: what a dimension holds, and that every model declares one that it accepts."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from ensue.model import Model, models
from ensue.spaces import Dimension, OneOf, Real, Whole


@pytest.mark.parametrize(
    ("dimension", "held", "not_held"),
    [
        (Whole(32, 96, step=32), (32, 64, 96), (0, 33, 128, 64.0, True, "64", None)),
        (Whole(1, 2), (1, 2), (0, 3, True)),
        (Real(0.0, 0.5), (0.0, 0.25, 0.5, 0), (-0.1, 0.51, float("nan"), True, "0", None)),
        (OneOf((0, 1, "a")), (0, 1, "a"), (False, True, 1.0, "b", None)),
        (OneOf((None, False)), (None, False), (0, True)),
    ],
)
def test_a_dimension_holds_its_values_and_no_others(
    dimension: Dimension, held: tuple[object, ...], not_held: tuple[object, ...]
) -> None:
    assert [dimension.holds(value) for value in held] == [True] * len(held)
    assert [dimension.holds(value) for value in not_held] == [False] * len(not_held)
    assert all(dimension.holds(value) for value in dimension.bounds)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Whole(3, 3),
        lambda: Whole(1, 6, step=2),
        lambda: Whole(0, 8, log=True),
        lambda: Whole(2, 8, log=True, step=2),
        lambda: Whole(1, 5, step=0),
        lambda: Real(1.0, 1.0),
        lambda: Real(0.0, 1.0, log=True),
        lambda: Real(0.0, float("inf")),
        lambda: OneOf(("a",)),
        lambda: OneOf(("a", "a")),
    ],
)
def test_a_dimension_that_is_none_is_refused(wrong: type) -> None:
    with pytest.raises(ValueError, match=r"Whole|Real|OneOf"):
        wrong()


@pytest.mark.parametrize("name", models.names())
def test_every_model_declares_a_space_that_it_accepts_and_that_holds_its_defaults(name: str) -> None:
    kind = models.get(name)
    written = [family for family in kind.__mro__ if family is not Model and "space" in vars(family)]
    assert written, f"{name} declares no space; one with nothing to tune declares it empty"
    own = kind()
    assert set(kind.space) <= {field.name for field in fields(kind)}
    for setting, dimension in kind.space.items():
        assert dimension.holds(getattr(own, setting)), f"{name}.{setting} begins outside {dimension}"
        for value in dimension.bounds:
            replace(own, **{setting: value})
    for end in (0, -1):  # and all lowest, or all highest, together
        replace(own, **{setting: dimension.bounds[end] for setting, dimension in kind.space.items()})


def test_only_what_has_no_settings_and_what_is_made_of_other_models_has_nothing_to_tune() -> None:
    found = {name for name in models.names() if not models.get(name).space}
    assert found == {"popular", "last-seen", "log-linear", "mixture"}
