"""What tokens do to an automaton over bytes that knows thoughts and the end of an answer.

Most tokens do the same as many others: those that lead from every state to the same one are one
class, and paths are sought over classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from palimpsest.engine.commands import Thinking
from palimpsest.engine.structure.bridges import UNREACHABLE, walk
from palimpsest.engine.structure.constraint import Constraint
from palimpsest.engine.structure.vocabulary import Vocabulary

Ints = NDArray[np.int32]
KEPT_ENTRIES = 1 << 22
"""Of classes that are known, in all: 16 MB. A vocabulary may have many more, of many states."""


class Transitions:
    """S states of the text's automaton, then two of its own: in a thought, and after the end."""

    def __init__(
        self,
        constraint: Constraint,
        vocabulary: Vocabulary,
        *,
        end_ids: Collection[int],
        thinking: Thinking | None,
    ) -> None:
        """`end_ids` end an answer; without `thinking` nothing opens a thought."""
        automaton = constraint.automaton
        self._automaton, self._vocabulary = automaton, vocabulary
        self._end_ids, self._thinking = frozenset(end_ids), thinking
        self.thought, self.ended = automaton.size, automaton.size + 1
        self.nowhere = automaton.size + 2
        in_thought = constraint.needed[automaton.start] + 1 if thinking else UNREACHABLE
        self.needed: Ints = np.append(constraint.needed, [in_thought, 0]).astype(np.int32)
        """[S + 2] tokens that suffice to end the answer from each state."""
        self._classes: dict[int, int] = {}
        self._known: dict[bytes, int] = {}
        self._leads: list[Ints] = []

    @property
    def start(self) -> int:
        """The state before the answer's first token."""
        opened = self._thinking is not None and self._thinking.is_open
        return self.thought if opened else self._automaton.start

    def classes_of(self, tokens: NDArray[np.int64]) -> Ints:
        """The class of each. Numbers of classes hold until this is asked again."""
        if len(self._leads) * len(self.needed) > KEPT_ENTRIES:
            self._classes, self._known, self._leads = {}, {}, []
        return np.array([self._class_of(token) for token in tokens.tolist()], np.int32)

    def after(self, state: int, token_ids: Iterable[int]) -> int:
        """The state that some tokens lead to, `nowhere` if they are not of the form."""
        for token in token_ids:
            if state == self.nowhere:
                break
            state = int(self._leads[self._class_of(token)][state])
        return state

    def leads(self, classes: Ints) -> Ints:
        """[classes, S + 2] the state that each class leads to from each."""
        return np.stack([self._leads[c] for c in classes.tolist()])

    def _class_of(self, token: int) -> int:
        """Tokens of one class lead from every state to the same one."""
        if token not in self._classes:
            leads = self._of_token(token)
            known = self._known.setdefault(leads.tobytes(), len(self._leads))
            if known == len(self._leads):
                self._leads.append(leads)
            self._classes[token] = known
        return self._classes[token]

    def _of_token(self, token: int) -> Ints:
        size, thinking = self._automaton.size, self._thinking
        leads = np.full(size + 2, self.nowhere, np.int32)
        leads[self.ended] = self.ended
        if token in self._end_ids:
            leads[:size][self._automaton.accepting] = self.ended
        elif thinking is not None and token == thinking.close_id:
            leads[self.thought] = self._automaton.start
        elif thinking is not None and token == thinking.open_id:
            leads[self._automaton.start] = self.thought
        elif token in self._vocabulary.pieces:
            reached = walk(self._automaton, self._vocabulary.pieces[token])
            leads[:size] = np.where(reached == size, self.nowhere, reached)
            if thinking is not None:
                leads[self.thought] = self.thought
        return leads
