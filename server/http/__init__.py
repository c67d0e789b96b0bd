"""The HTTP port: listening, probes, and what its doors share. Knows no API."""
