"""DiffusionService for browsers and curl."""
