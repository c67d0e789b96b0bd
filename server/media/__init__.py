"""Images and videos of requests: fetched, decoded and cut up, whatever their bytes are."""
