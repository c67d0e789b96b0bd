"""Takes an answer apart while it arrives, into text, thought and tool calls.

However an answer is divided into canvases, the pieces joined are the same, and none is ever taken
back. Knows no canvas and no wire format.

- A thought ends with its closing marker, with a call, or with the answer. Its label and the white
  space around it are dropped, and an empty line stands between two thoughts.
- A closing marker that closes nothing is dropped. Whether the prompt has left a thought open is
  known from its tokens.
- A call that cannot be read, also because the answer ends in the middle of it, is text, as it was
  written and with its markers.
- Results that the model makes up for its own calls are dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from palimpsest.engine.api import TextCodec
from palimpsest.server.exchange import ContentKind, ContentSpan
from palimpsest.server.parts import Part, call_segments, cut, opened_thought
from palimpsest.server.prompts import ToolCall
from palimpsest.server.tool_calls import read_call

LABEL = "thought\n"
"""What a thought begins with: the name of its channel, on a line of its own."""
BETWEEN_THOUGHTS = "\n\n"

_KINDS = {
    Part.THOUGHT: ContentKind.THOUGHT,
    Part.CALL: ContentKind.TOOL_CALL,
    Part.RESULT: ContentKind.TOOL_CALL,
}


@dataclass(slots=True, kw_only=True)
class Pieces:
    """What some tokens say."""

    text: str = ""
    thought: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)


class OutputParser:
    """The parts of one answer."""

    def __init__(
        self, codec: TextCodec, prompt_ids: Sequence[int], *, known_call_ids: Collection[str] = ()
    ) -> None:
        """Calls are named `call_0`, `call_1`, … without those of `known_call_ids`."""
        self._codec = codec
        opened = opened_thought(codec, prompt_ids)
        self._part = Part.TEXT if opened is None else Part.THOUGHT
        self._text = codec.detokenizer()
        self._thoughts = _Thoughts(codec, label=LABEL if opened is None else _rest(opened))
        self._call: list[int] = []
        names = (f"call_{number}" for number in itertools.count())
        self._call_ids = (name for name in names if name not in known_call_ids)
        self.call_count = 0
        """Calls so far."""
        self.thinking_tokens = 0
        """Tokens of thought so far, markers included."""

    def push(self, token_ids: Sequence[int], *, final: bool) -> Pieces:
        """What becomes final with these tokens; `final` says that they are the answer's last."""
        pieces = Pieces()
        for run in cut(token_ids, self._part, self._codec.markers):
            self._part = run.part
            match run.part:
                case Part.TEXT:
                    pieces.text += self._text.push(run.inner)
                case Part.THOUGHT:
                    pieces.thought += self._thoughts.push(run.inner)
                    self.thinking_tokens += len(run.whole)
                case Part.CALL:
                    self._call += run.whole
                case Part.RESULT:
                    pass
            if run.ends or final:
                self._end(run.part, pieces)
        return pieces

    def unsettled(self) -> str:
        """Text that waits for the rest of a character, as U+FFFD; nothing is pushed after this."""
        return self._text.finish() if self._part is Part.TEXT else ""

    def draft(self, token_ids: Sequence[int]) -> Pieces:
        """What tokens that may still change say by themselves; calls are left out."""
        texts, thoughts = [], []
        for index, run in enumerate(cut(token_ids, self._part, self._codec.markers)):
            if run.part is Part.TEXT:
                texts.append(self._codec.decode(run.inner))
            elif run.part is Part.THOUGHT:
                label = LABEL if index else self._thoughts.label
                thoughts.append(self._codec.decode(run.inner).removeprefix(label).strip())
        return Pieces(text="".join(texts), thought=BETWEEN_THOUGHTS.join(filter(None, thoughts)))

    def spans(self, token_ids: Sequence[int]) -> tuple[ContentSpan, ...]:
        """Which positions of a draft are not plain text."""
        return tuple(
            ContentSpan(kind=_KINDS[run.part], start=run.start, length=len(run.whole))
            for run in cut(token_ids, self._part, self._codec.markers)
            if run.whole and run.part in _KINDS
        )

    def _end(self, part: Part, pieces: Pieces) -> None:
        match part:
            case Part.TEXT:
                pieces.text += self._text.finish()
                self._text = self._codec.detokenizer()
            case Part.THOUGHT:
                pieces.thought += self._thoughts.finish()
            case Part.CALL:
                self._end_call(pieces)
            case Part.RESULT:
                pass

    def _end_call(self, pieces: Pieces) -> None:
        found = read_call(call_segments(self._codec, self._call))
        if found is None:
            pieces.text += self._codec.decode_verbatim(self._call)
        else:
            name, arguments = found
            call = ToolCall(id=next(self._call_ids), name=name, arguments=arguments)
            pieces.tool_calls.append(call)
            self.call_count += 1
        self._call = []


class _Thoughts:
    """The thoughts of one answer as one text."""

    def __init__(self, codec: TextCodec, *, label: str) -> None:
        """`label` is what may still come of the label of the thought that is open, if one is."""
        self._codec = codec
        self._detokenizer = codec.detokenizer()
        self._label = label
        self._held = ""
        """The beginning of a label, or white space that counts only if something follows it."""
        self._begun = False
        """Whether the thought has said anything yet."""
        self._any = False
        """Whether any thought has."""

    @property
    def label(self) -> str:
        """What may still come of the thought's label."""
        return self._label[len(self._held) :]

    def push(self, token_ids: Iterable[int]) -> str:
        return self._give(self._detokenizer.push(token_ids))

    def finish(self) -> str:
        """The rest of the thought; the next one begins with a label."""
        piece = self._give(self._detokenizer.finish())
        if self._label and self._held != self._label.rstrip():
            # it only began like a label
            self._label = ""
            piece += self._give("")
        self._detokenizer = self._codec.detokenizer()
        self._label, self._held, self._begun = LABEL, "", False
        return piece

    def _give(self, text: str) -> str:
        self._held += text
        if self._label:
            if self.label and self._label.startswith(self._held):
                return ""
            self._held = self._held.removeprefix(self._label)
            self._label = ""
        if not self._begun:
            self._held = self._held.lstrip()
        piece = self._held.rstrip()
        if not piece:
            return ""
        self._held = self._held[len(piece) :]
        between = BETWEEN_THOUGHTS if self._any and not self._begun else ""
        self._begun = self._any = True
        return between + piece


def _rest(opened: str) -> str:
    """What may still come of the label of a thought that begins with `opened`."""
    return LABEL[len(opened) :] if LABEL.startswith(opened) else ""
