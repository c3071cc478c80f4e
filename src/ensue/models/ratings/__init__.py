"""Models that say which rating is expected, without torch: one file per family."""
