"""Networks, one file per family; they need torch."""
