"""palimpsest trace: one answer in time, as a table or a picture."""
