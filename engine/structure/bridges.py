"""Tokens that can always carry a text to its end, and how many of them it takes.

A canvas is chosen among the likeliest tokens of each position. Where none of those goes on, the
tokens found here do: for every state of the automaton, whatever must come next in the longest
pieces that the vocabulary has, and a token for each way the text can branch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from palimpsest.engine.structure.automaton import Automaton
from palimpsest.engine.structure.vocabulary import Vocabulary

UNREACHABLE = np.iinfo(np.int32).max


def bridges(automaton: Automaton, vocabulary: Vocabulary) -> tuple[int, ...]:
    """Ids, ascending."""
    found = set()
    for state in range(automaton.size):
        for byte in _branches(automaton, state):
            found |= _prefixes(_forced(automaton, state, byte, vocabulary.longest), vocabulary)
    return tuple(sorted(found))


def needed_tokens(
    automaton: Automaton, vocabulary: Vocabulary, tokens: tuple[int, ...]
) -> NDArray[np.int32]:
    """[S] the fewest of `tokens` that end the text from each state, and 1 for the end token;
    UNREACHABLE if they cannot.
    """
    before: dict[int, set[int]] = defaultdict(set)
    for token in tokens:
        for source, target in enumerate(walk(automaton, vocabulary.pieces[token])):
            before[int(target)].add(source)
    needed = np.full(automaton.size, UNREACHABLE, np.int32)
    front = set(np.flatnonzero(automaton.accepting).tolist())
    count = 1
    while front:
        needed[list(front)] = count
        front = {s for target in front for s in before[target] if needed[s] == UNREACHABLE}
        count += 1
    return needed


def walk(automaton: Automaton, piece: bytes) -> NDArray[np.int32]:
    """[S] where a piece of text leads from each state; S is nowhere."""
    states = np.arange(automaton.size, dtype=np.int32)
    for byte in piece:
        states = automaton.transitions[states, byte]
    return states


def _branches(automaton: Automaton, state: int) -> Iterator[int]:
    """A byte for each state that may come next: a plain character if one leads there."""
    ways = automaton.transitions[state]
    for target in np.unique(ways[ways < automaton.size]):
        bytes_there = np.flatnonzero(ways == target).tolist()
        yield min(bytes_there, key=lambda byte: (not chr(byte).isalnum() or byte > 127, byte))


def _forced(automaton: Automaton, state: int, byte: int, longest: int) -> bytes:
    """`byte` and what can only follow it, at most `longest` bytes."""
    text = bytes([byte])
    state = int(automaton.transitions[state, byte])
    while len(text) < longest and not automaton.accepting[state]:
        ways = np.flatnonzero(automaton.transitions[state] < automaton.size)
        if len(ways) != 1:
            break
        text += bytes(ways.tolist())
        state = int(automaton.transitions[state, ways[0]])
    return text


def _prefixes(text: bytes, vocabulary: Vocabulary) -> set[int]:
    """Tokens that `text` begins with."""
    begun = (text[:length] for length in range(1, len(text) + 1))
    return {vocabulary.ids[piece] for piece in begun if piece in vocabulary.ids}
