"""One streamed answer over as many calls as it takes; shared by both clients.

The answer is a function of the request and its seed, so a further call is told what has arrived and
gives the rest. Knows no channel and no call.
"""

from __future__ import annotations

from dataclasses import replace

from palimpsest import responses
from palimpsest.attempts import Attempts, CallOptions
from palimpsest.errors import InvalidRequest, PalimpsestError
from palimpsest.events import Commit, Completed, Event, Snapshot, Started
from palimpsest.v1 import generation_pb2
from palimpsest.v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse


class Answer:
    """What has arrived of an answer, and the request for what has not."""

    def __init__(self, request: StreamGenerateRequest, attempts: Attempts) -> None:
        self.request = request
        """For the next call; changes with what arrives."""
        self._attempts = attempts
        self._started: Started | None = None
        self._commits: list[Commit] = []
        self._completed = False
        self._is_resumed = False
        self._reached = (0, 0)
        """Canvas and step up to which drafts are known."""
        self._sequence = 0
        """Of the last event given."""
        self._shift = 0
        """From the numbers of the call's events to those of the answer's."""

    def options(self) -> CallOptions:
        """For the call that is made now."""
        return self._attempts.options()

    def take(self, response: StreamGenerateResponse) -> Event | None:
        """The event that a message brings; None if it is known or of an unknown kind."""
        event = responses.event_of(response)
        if event is None:
            return None
        if self._is_resumed and self._is_known(event):
            # what is left out leaves no gap, as that would mean skipped drafts
            self._shift = self._sequence - response.sequence
            return None
        self._note(event, response)
        self._sequence = response.sequence + self._shift
        if isinstance(event, Completed):
            event = self._of_whole_answer(event)
        return replace(event, sequence=self._sequence)

    def wait_s(self, error: PalimpsestError) -> float | None:
        """Seconds to wait before `request` is sent again, now for the rest; None if nothing is
        missing. Raises `error` if there is to be no further call.
        """
        if self.request.input.sampling.candidate_count > 1:
            # canvases of several answers are not told apart here
            raise error
        if self._completed:
            return None
        if self._had_ended(error):
            # the last canvas once more, as the end comes behind it
            self._ask_from(len(self._commits) - 1)
            return 0.0
        wait_s = self._attempts.wait_s(error)
        self._ask_from(sum(map(self._is_whole, self._commits)))
        return wait_s

    def _is_known(self, event: Event) -> bool:
        match event:
            case Started():
                return self._started is not None
            case Snapshot():
                return (event.canvas_index, event.step) <= self._reached
            case Commit():
                return event.canvas_index < len(self._commits)
            case Completed():
                return False

    def _note(self, event: Event, response: StreamGenerateResponse) -> None:
        match event:
            case Started():
                self._started = event
                self._pin(response.started)
            case Snapshot():
                self._reached = (event.canvas_index, event.step)
            case Commit():
                self._commits.append(event)
                self._reached = (event.canvas_index + 1, 0)
                self._attempts.succeed()
            case Completed():
                self._completed = True

    def _pin(self, started: generation_pb2.Started) -> None:
        """Makes sure that a further call has the same answer, under the same name."""
        asked = self.request.input
        asked.model = started.model
        asked.request_id = started.request_id
        asked.sampling.seed = started.seed

    def _is_whole(self, commit: Commit) -> bool:
        """Whether another canvas may follow: only the last one of an answer is cut.

        What fills the gaps of a template is not told, so such an answer starts over.
        """
        if self.request.input.canvas.HasField("template"):
            return False
        return self._started is not None and len(commit.token_ids) == self._started.canvas_length

    def _had_ended(self, error: PalimpsestError) -> bool:
        """Whether the server says that the canvases it was given were the whole answer."""
        given = self.request.resume.first_canvas_index
        return (
            isinstance(error, InvalidRequest)
            and [violation.field for violation in error.violations] == ["resume"]
            and 0 < given == len(self._commits)
        )

    def _ask_from(self, canvas_index: int) -> None:
        self._is_resumed = True
        self._shift = self._sequence
        self.request.ClearField("resume")
        if canvas_index:
            self.request.resume.first_canvas_index = canvas_index
            for commit in self._commits[:canvas_index]:
                self.request.resume.committed_token_ids.extend(commit.token_ids)

    def _of_whole_answer(self, completed: Completed) -> Completed:
        """The last call counts only what it generated itself."""
        before = self._commits[: self.request.resume.first_canvas_index]
        usage = completed.usage
        usage = replace(
            usage,
            output_tokens=usage.output_tokens + sum(len(commit.token_ids) for commit in before),
            canvases=usage.canvases + len(before),
            denoising_steps=usage.denoising_steps + sum(commit.steps for commit in before),
        )
        return replace(completed, usage=usage)
