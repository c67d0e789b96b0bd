"""What is wrong with a file."""

from __future__ import annotations


class Unreadable(Exception):
    """A file that is not shown to the model; the message completes "the image …"."""
