"""Reports as one self-contained HTML page: no network, no script, every text escaped."""
