"""`palimpsest bench`: how fast a server answers when so many ask at once."""
