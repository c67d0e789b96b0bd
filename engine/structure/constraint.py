"""What the text of an answer must be, as it crosses between processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palimpsest.engine.structure.automaton import Automaton
from palimpsest.engine.structure.bridges import UNREACHABLE, bridges, needed_tokens
from palimpsest.engine.structure.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constraint:
    """An automaton, and how its texts can always be brought to an end."""

    automaton: Automaton
    bridges: tuple[int, ...]
    """Tokens that do; ascending."""
    needed: NDArray[np.int32]
    """[S] how many of them it takes from each state, with the end token."""

    @classmethod
    def of(cls, automaton: Automaton, vocabulary: Vocabulary) -> Constraint:
        """Raises ValueError if the vocabulary cannot write any text of the automaton."""
        tokens = bridges(automaton, vocabulary)
        needed = needed_tokens(automaton, vocabulary, tokens)
        if needed[automaton.start] == UNREACHABLE:
            raise ValueError("the vocabulary cannot write it")
        return cls(automaton=automaton, bridges=tokens, needed=needed)
