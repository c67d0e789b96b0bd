"""A server for runs of suites: it answers with the prompt, or fails in the way that it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from refusing import refuse

from palimpsest.v1 import canvas_pb2, chat_pb2, generation_pb2, model_pb2, prompt_pb2
from palimpsest.v1.service_pb2_grpc import DiffusionServiceServicer

A_MILLISECOND = duration_pb2.Duration(nanos=1_000_000)


class Clerk(DiffusionServiceServicer):
    """Answers with the prompt, a canvas a word, the n-th in n steps; or does what it says."""

    def __init__(self) -> None:
        self.seeds: dict[str, int] = {}
        self.prompts: list[prompt_pb2.Prompt] = []
        self.turned_away = 0
        self.holding = threading.Event()
        """Set once there is a request that is never answered."""

    def GetModel(
        self, request: model_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_pb2.GetModelResponse:
        return model_pb2.GetModelResponse(model=model_pb2.Model(name="clerk", device="desk"))

    def StreamGenerate(
        self, request: generation_pb2.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[generation_pb2.StreamGenerateResponse]:
        prompt = request.input.prompt.chat.messages[-1].parts[0].text
        self.seeds[prompt] = request.input.sampling.seed
        self.prompts.append(request.input.prompt)
        match prompt:
            case "fail":
                context.abort(grpc.StatusCode.INTERNAL, "the desk fell over")
            case "hold":
                gone = threading.Event()
                context.add_callback(gone.set)
                self.holding.set()
                gone.wait()
            case "busy" if self.turned_away < 3:
                self.turned_away += 1
                hint = error_details_pb2.RetryInfo(retry_delay=A_MILLISECOND)
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", hint)
        yield from _answered(prompt.split(), request.input.prompt.chat.tools)


def _answered(
    words: list[str], tools: Sequence[chat_pb2.Tool]
) -> Iterator[generation_pb2.StreamGenerateResponse]:
    response = generation_pb2.StreamGenerateResponse
    yield response(started=generation_pb2.Started(canvas_length=8))
    for index, word in enumerate(words):
        yield response(commit=canvas_pb2.CanvasCommit(text_delta=word, steps=index + 1))
    if tools:
        call = chat_pb2.ToolCall(id="1", name=tools[0].name)
        call.arguments.update({"minutes": 5})
        yield response(
            commit=canvas_pb2.CanvasCommit(steps=1, thought_delta="hm", tool_calls=[call])
        )
    usage = generation_pb2.Usage(output_tokens=2 * len(words), canvases=len(words))
    yield response(completed=generation_pb2.Completed(usage=usage))
