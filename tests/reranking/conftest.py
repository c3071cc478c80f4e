"""A simulated log of shown lists whose best order is known, and a re-ranker that has learnt from it."""

from __future__ import annotations

import pytest

from ensue.reranking import Fitted, Shown, fit, read_shown
from ensue.reranking.simulated import Simulated, simulate_lists


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    """900 sessions."""
    return simulate_lists(900)


@pytest.fixture(scope="session")
def shown(simulated: Simulated) -> Shown:
    """Its lists, joined with its events."""
    return read_shown(simulated.lists, simulated.events)


@pytest.fixture(scope="session")
def fitted(shown: Shown) -> Fitted:
    """A re-ranker of them; look at it, and change nothing."""
    return fit(shown)
