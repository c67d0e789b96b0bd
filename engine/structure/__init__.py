"""Answers of a given form: the most probable canvas that an automaton over text accepts."""
