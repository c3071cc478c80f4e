"""The whole audit of a log: what it is, what is wrong, what leaks, whether order says anything, and what follows."""

from __future__ import annotations

from ensue.auditing.examining import Examination as Examination
from ensue.auditing.examining import examine as examine
