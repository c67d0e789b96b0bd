"""`palimpsest quantize`: writes a checkpoint with fewer bits, file by file."""
