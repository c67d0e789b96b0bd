"""Checkpoints with fewer bits than BF16: what each layout means, and how it is read and written."""
