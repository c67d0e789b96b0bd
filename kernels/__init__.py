"""Tensor in, tensor out: one file per operation. Knows torch alone, and nothing of the engine."""
