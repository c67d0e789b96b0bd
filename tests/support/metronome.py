"""An engine process without a model: every running request has a step at every beat.

Steps tell in `mean_entropy` when they ended, in microseconds since 1970, so that readers know how
long a draft was under way. An answer has as many canvases as its limit of tokens says.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.channel import Channel, ChannelClosed
from palimpsest.engine.commands import Cancel, Stop, Submit
from palimpsest.engine.events import (
    Committed,
    Draft,
    Encoded,
    Finished,
    FinishReason,
    ModelInfo,
    Ready,
    RequestEvent,
    Stepped,
    Usage,
)
from palimpsest.engine.sampling import Sampling

CANVAS_LENGTH = 256
STEPS = 20
"""Of each canvas."""
FIRST_LETTER = 205
"""`a` in the bundled vocabulary; the others follow."""
LETTERS = tuple(FIRST_LETTER + i % 26 for i in range(CANVAS_LENGTH))


def main() -> None:
    """`metronome.py HZ --fd N`."""
    beat_s = 1 / float(sys.argv[1])
    channel = Channel(socket.socket(fileno=int(sys.argv[-1])))
    with contextlib.suppress(ChannelClosed):
        channel.receive(block=True)  # the options
        channel.send((Ready(model=_model()),))
        _beat(channel, beat_s)


def _beat(channel: Channel, beat_s: float) -> None:
    running: dict[int, tuple[Submit, int]] = {}
    """Requests by their ids, with their steps so far."""
    due_s = time.monotonic()
    while True:
        for command in channel.receive(block=not running):
            match command:
                case Submit():
                    running[command.request_id] = command, 0
                    channel.send((_encoded(command),))
                case Cancel():
                    running.pop(command.request_id, None)
                case Stop():
                    return
        frame: list[RequestEvent] = []
        for request, steps in list(running.values()):
            frame += _step(request, steps + 1)
            running[request.request_id] = request, steps + 1
            if isinstance(frame[-1], Finished):
                del running[request.request_id]
        if frame:
            channel.send(tuple(frame))
        # beats that were missed are left out
        now_s = time.monotonic()
        due_s = max(due_s + beat_s, now_s)
        time.sleep(due_s - now_s)


def _step(request: Submit, steps: int) -> list[RequestEvent]:
    canvas, step = divmod(steps - 1, STEPS)
    canvases = request.sampling.max_output_tokens // CANVAS_LENGTH
    events: list[RequestEvent] = [_stepped(request, canvas, step + 1)]
    if step + 1 == STEPS:
        events.append(_committed(request, canvas))
        if canvas + 1 == canvases:
            events.append(_finished(request, canvases))
    return events


def _model() -> ModelInfo:
    return ModelInfo(
        name="metronome",
        canvas_length=CANVAS_LENGTH,
        max_context_tokens=262_144,
        vocabulary_size=512,
        end_token_ids=(1,),
        parameter_count=0,
        sees=False,
        device="cpu",
        dtype="float32",
        defaults=Sampling(max_output_tokens=CANVAS_LENGTH, seed=0),
        capacity=Capacity(pages={None: 64}, cache_bytes=0, max_num_seqs=64),
    )


def _encoded(request: Submit) -> Encoded:
    return Encoded(
        request_id=request.request_id, canvas_index=None, token_count=1, start_ns=0, end_ns=1
    )


def _stepped(request: Submit, canvas: int, step: int) -> Stepped:
    now_ns = time.time_ns()
    shift = (canvas * STEPS + step) % 26
    draft = Draft(
        token_ids=LETTERS[shift:] + LETTERS[:shift],
        confidence=bytes(range(256)),
        accepted_mask=bytes(CANVAS_LENGTH // 8),
        entropy=bytes(CANVAS_LENGTH),
    )
    return Stepped(
        request_id=request.request_id,
        canvas_index=canvas,
        step=step,
        start_ns=now_ns - 1_000_000,
        end_ns=now_ns,
        batch_size=1,
        temperature=0.5,
        accepted_count=CANVAS_LENGTH,
        changed_count=CANVAS_LENGTH,
        mean_entropy=float(now_ns // 1_000),
        draft=draft if request.drafts else None,
    )


def _committed(request: Submit, canvas: int) -> Committed:
    now_ns = time.time_ns()
    return Committed(
        request_id=request.request_id,
        canvas_index=canvas,
        steps=STEPS,
        converged=True,
        token_ids=(LETTERS[canvas],) * CANVAS_LENGTH,
        start_ns=now_ns - 1_000_000,
        end_ns=now_ns,
    )


def _finished(request: Submit, canvases: int) -> Finished:
    usage = Usage(
        prompt_tokens=len(request.prompt_ids),
        output_tokens=canvases * CANVAS_LENGTH,
        cached_prompt_tokens=0,
        canvases=canvases,
        denoising_steps=canvases * STEPS,
    )
    return Finished(request_id=request.request_id, reason=FinishReason.LENGTH, usage=usage)


if __name__ == "__main__":
    main()
