"""Sessions: stretches of one user's events that belong together, cut by rules or given by the source.

`cuts` finds where they begin; `rule.Sessions` describes how a log is cut, and does it; `continued` goes on with
sessions that were kept.
"""

from __future__ import annotations

from ensue.events.sessions.cuts import by_gap as by_gap
from ensue.events.sessions.cuts import per_user as per_user
