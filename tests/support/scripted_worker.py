"""An engine process without a model: it does what the first token of a prompt says."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections import deque

from palimpsest.engine.capacity import Capacity
from palimpsest.engine.channel import Channel, ChannelClosed
from palimpsest.engine.commands import Cancel, Stop, Submit
from palimpsest.engine.events import (
    Committed,
    Draft,
    Encoded,
    Failed,
    Finished,
    FinishReason,
    LoadFailed,
    Loading,
    ModelInfo,
    Ready,
    RequestEvent,
    Scored,
    Stepped,
    Usage,
)
from palimpsest.engine.options import EngineOptions
from palimpsest.engine.sampling import Sampling

CRASH, FAIL, ENDLESS, FAIL_OR_ENDLESS = 101, 102, 103, 104
"""First tokens of prompts; any lower one is the number of canvases of the answer. The last one
fails with even seeds and is endless with odd ones."""
CANVAS_LENGTH = 8
STEPS = 3


def main() -> None:
    channel = Channel(socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1])))
    with contextlib.suppress(ChannelClosed):
        _serve(channel)


def _serve(channel: Channel) -> None:
    inbox = deque(channel.receive(block=True))
    options = inbox.popleft()
    assert isinstance(options, EngineOptions)
    if options.model == "dies":
        os._exit(3)
    channel.send((Loading(done_bytes=1, total_bytes=2),))
    if options.model == "broken":
        channel.send((LoadFailed(message="model.safetensors is truncated"),))
        return
    channel.send((Loading(done_bytes=2, total_bytes=2), Ready(model=_model(options))))
    waiting: deque[Submit] = deque()
    while True:
        inbox.extend(channel.receive(block=not inbox and not waiting))
        if _stops(inbox, waiting):
            return
        if waiting and not _answer(channel, waiting.popleft(), inbox, waiting):
            return


def _stops(inbox: deque[object], waiting: deque[Submit]) -> bool:
    """Sort what has arrived; whether the process is to end."""
    while inbox:
        match inbox.popleft():
            case Submit() as request:
                waiting.append(request)
            case Cancel(request_id=gone):
                kept = [request for request in waiting if request.request_id != gone]
                waiting.clear()
                waiting.extend(kept)
            case Stop():
                return True
    return False


def _answer(
    channel: Channel, request: Submit, inbox: deque[object], waiting: deque[Submit]
) -> bool:
    """Run one request to its end or its cancellation; False when the process is to end."""
    order = request.prompt_ids[0]
    if order == FAIL_OR_ENDLESS:
        order = ENDLESS if request.sampling.seed % 2 else FAIL
    if order == CRASH:
        os._exit(7)
    if order == FAIL:
        channel.send((Failed(request_id=request.request_id, message="the device was lost"),))
        return True
    channel.send((_encoded(request, None),))
    step = 0
    while order == ENDLESS:
        step += 1
        channel.send((_stepped(request, 0, step),))
        inbox.extend(channel.receive(block=False))
        if any(isinstance(c, Cancel) and c.request_id == request.request_id for c in inbox):
            return not _stops(inbox, waiting)
        if any(isinstance(command, Stop) for command in inbox):
            return False
    if request.labels:
        channel.send((_stepped(request, 0, 1), _scored(request), _finished(request, 0)))
        return True
    for canvas in range(order):
        frames: list[RequestEvent] = [_stepped(request, canvas, s + 1) for s in range(STEPS)]
        for event in frames:
            channel.send((event,))
        last = canvas == order - 1
        ending = (_finished(request, order),) if last else (_encoded(request, canvas),)
        channel.send((_committed(request, canvas), *ending))
    return True


def _model(options: EngineOptions) -> ModelInfo:
    return ModelInfo(
        name="scripted",
        canvas_length=CANVAS_LENGTH,
        max_context_tokens=128,
        vocabulary_size=256,
        end_token_ids=(1,),
        parameter_count=0,
        sees=False,
        device="cpu",
        dtype="float32",
        defaults=Sampling(max_output_tokens=64, seed=0),
        capacity=Capacity(pages={None: 64}, cache_bytes=0, max_num_seqs=options.max_num_seqs),
    )


def _encoded(request: Submit, canvas: int | None) -> Encoded:
    return Encoded(
        request_id=request.request_id, canvas_index=canvas, token_count=1, start_ns=0, end_ns=1
    )


def _stepped(request: Submit, canvas: int, step: int) -> Stepped:
    draft = Draft(
        token_ids=(65 + canvas,) * CANVAS_LENGTH,
        confidence=bytes([255] * CANVAS_LENGTH),
        accepted_mask=b"\xff",
        entropy=bytes(CANVAS_LENGTH),
    )
    return Stepped(
        request_id=request.request_id,
        canvas_index=canvas,
        step=step,
        start_ns=step,
        end_ns=step + 1,
        batch_size=1,
        temperature=0.5,
        accepted_count=CANVAS_LENGTH,
        changed_count=0,
        mean_entropy=0.0,
        draft=draft if request.drafts else None,
    )


def _committed(request: Submit, canvas: int) -> Committed:
    return Committed(
        request_id=request.request_id,
        canvas_index=canvas,
        steps=STEPS,
        converged=True,
        token_ids=(65 + canvas,) * CANVAS_LENGTH,
        start_ns=1,
        end_ns=STEPS + 1,
    )


def _scored(request: Submit) -> Scored:
    """Each label is as likely as its number of tokens says."""
    return Scored(
        request_id=request.request_id,
        log_probabilities=tuple(-float(len(label)) for label in request.labels),
        steps=1,
        end_ns=2,
    )


def _finished(request: Submit, canvases: int) -> Finished:
    usage = Usage(
        prompt_tokens=len(request.prompt_ids),
        output_tokens=canvases * CANVAS_LENGTH,
        cached_prompt_tokens=0,
        canvases=canvases,
        denoising_steps=canvases * STEPS,
    )
    return Finished(request_id=request.request_id, reason=FinishReason.STOP, usage=usage)


if __name__ == "__main__":
    main()
