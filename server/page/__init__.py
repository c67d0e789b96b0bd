"""The page at `/`: the files that were built from clients/page. Knows no API."""
