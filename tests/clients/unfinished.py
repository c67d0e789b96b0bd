"""A server that never ends its answers, so that whatever comes, comes in the middle of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc

from palimpsest.v1 import canvas_pb2, decide_pb2, generation_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

PATIENCE_S = 20.0


class Unfinished(DiffusionServiceServicer):
    """Commits one canvas, shows a draft of the next, and waits for the caller to go."""

    def __init__(self) -> None:
        self.ended = threading.Semaphore(0)
        """Released for every caller that went."""
        self.asked = threading.Semaphore(0)
        """Released for every question with labels."""
        self.messages: list[list[str]] = []
        """The texts of each conversation it was asked to continue."""

    def Decide(
        self, request: decide_pb2.DecideRequest, context: grpc.ServicerContext
    ) -> decide_pb2.DecideResponse:
        gone = threading.Event()
        context.add_callback(gone.set)
        context.add_callback(self.ended.release)
        self.asked.release()
        gone.wait(PATIENCE_S)
        return decide_pb2.DecideResponse()

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        gone = threading.Event()
        context.add_callback(gone.set)
        # not behind the last event: grpc drops a generator whose caller went while it was sent
        context.add_callback(self.ended.release)
        messages = request.input.prompt.chat.messages
        self.messages.append([message.parts[0].text for message in messages])
        keyframe = canvas_pb2.TokenKeyframe(
            token_ids=[1, 2],
            token_texts=[" dra", "ft"],
            confidence=b"\xff\x10",
            accepted_mask=b"\x01",
        )
        events = [
            {"started": generation_pb2.Started(seed=7, canvas_length=2)},
            {"commit": canvas_pb2.CanvasCommit(text_delta="committed")},
            {"snapshot": canvas_pb2.CanvasSnapshot(canvas_index=1, step=1, keyframe=keyframe)},
        ]
        for sequence, event in enumerate(events, start=1):
            yield generation_pb2.StreamGenerateResponse(sequence=sequence, **event)
        gone.wait(PATIENCE_S)
