"""Models that count: fitted in one pass, no torch."""
