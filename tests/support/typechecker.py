"""Checks types and shapes of calls in the tests; takes an int for a float, as pyright does."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
