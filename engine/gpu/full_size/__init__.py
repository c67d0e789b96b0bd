"""The released model's size with random weights: is it right, and how fast is it."""
