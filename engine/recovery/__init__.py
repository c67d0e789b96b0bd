"""What quantising costs: errors of weights and of single denoising steps, before any answer."""
