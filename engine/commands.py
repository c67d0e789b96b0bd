"""What the server process asks of the engine process: plain data, token ids only.

Knows no torch, no text and no wire format.
"""

from __future__ import annotations

from dataclasses import dataclass

from palimpsest.engine.sampling import Sampling
from palimpsest.engine.structure.constraint import Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasPlan:
    """What the canvases of a request start from and keep. Positions count from the answer's first
    token, over all canvases.
    """

    starting_ids: tuple[int, ...] = ()
    """Tokens of the first positions, where a canvas otherwise starts random."""
    pinned: tuple[tuple[int, int], ...] = ()
    """Positions, ascending, and the token that each of them keeps."""
    template_length: int | None = None
    """Positions of a template: the answer ends with them, and what fills up a gap is left out."""
    read_only: bool = False
    """Whether the answer is one canvas."""
    canvas_length: int | None = None
    """Tokens of each canvas, at most the model's; None is as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How an answer thinks before it says something."""

    open_id: int
    """Begins a thought."""
    close_id: int
    """Ends it."""
    call_id: int | None = None
    """Begins a call, which ends it too; None where there are no calls."""
    is_open: bool = False
    """Whether the prompt has left a thought open."""
    budget: int | None = None
    """Tokens of the answer, from its first on, that may be thought; None is no limit. A thought
    that the prompt has left open takes one to be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of a prompt, or a frame of its video, in place of the tokens that stand for it."""

    start: int
    """Place of its first token in the prompt."""
    rows: int
    columns: int
    """It takes rows · columns tokens, in reading order."""
    patches: bytes
    """uint8, as `engine.vision.patches.CutPicture` has them."""
    key: bytes
    """16 bytes that stand for all that it shows: the same ones are looked at once."""

    @property
    def end(self) -> int:
        """Place behind its last token."""
        return self.start + self.rows * self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Generate an answer to `prompt_ids`, or score some."""

    request_id: int
    """Chosen by the server, unique for the life of the engine process."""
    prompt_ids: tuple[int, ...]
    sampling: Sampling
    drafts: bool
    """Whether step reports carry the draft canvas; figures are always sent."""
    committed_ids: tuple[int, ...] = ()
    """Tokens of the answer's canvases before the first one wanted; whole canvases. All limits count
    them, `Usage` does not."""
    share: str = ""
    """Whom the work is charged to: each share gets as much as any other while they compete."""
    priority: int = 0
    """-1, 0 or 1; each gets four times the work of the next lower one while they compete."""
    canvas: CanvasPlan = CanvasPlan()
    thinking: Thinking | None = None
    """None: nothing of the answer is a thought."""
    constraint: Constraint | None = None
    """What the answer must be, thoughts aside; None is anything."""
    name: str = ""
    """The caller's own name for it, for people who watch."""
    candidate_index: int = 0
    """Which of the caller's answers this is, for them too."""
    pictures: tuple[Picture, ...] = ()
    """Of the prompt, in its order."""
    labels: tuple[tuple[int, ...], ...] = ()
    """Answers to score instead of giving one, each shorter than a canvas. The request is one canvas
    then, and ends in Scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Forget a request at the next step. No event follows; unknown ids are ignored."""

    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the process after the current step."""


Command = Submit | Cancel | Stop
