"""`palimpsest inspect`: what a checkpoint is, and what of it fits where."""
