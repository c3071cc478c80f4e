"""Replay: the model that serves is driven through the test in the order of time, and has to reach what was measured."""

from __future__ import annotations

from ensue.replaying.driving import DEPTH, replay
from ensue.replaying.outcome import Replay

__all__ = ["DEPTH", "Replay", "replay"]
