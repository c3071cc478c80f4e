"""Which model to take for a log: facts, a race on validation, the front of accuracy, latency and size, and why."""

from __future__ import annotations

from ensue.selecting.choosing import MINUTES as MINUTES
from ensue.selecting.choosing import Selection as Selection
from ensue.selecting.choosing import select as select
from ensue.selecting.front import Limits as Limits
