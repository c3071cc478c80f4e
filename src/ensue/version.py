"""The version of ensue, its one home."""

__version__ = "0.1.0"
