"""Runs the engine on the reference's own random draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from palimpsest.engine.commands import Command, Submit
from palimpsest.engine.diffusion import CanvasState, StepFigures, denoise
from palimpsest.engine.engine import Engine
from palimpsest.engine.events import Committed, Event, Failed, Finished, Stepped
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.model import DiffusionGemma
from palimpsest.engine.noise import NoiseKey, StepNoise
from palimpsest.engine.sampling import Sampling


@dataclass(frozen=True, slots=True)
class ReplayedNoise:
    """Draws from torch's default generator in the order of the reference.

    Its `torch.multinomial` of one token is argmax(p / q) with q from one `exponential_`.
    """

    length: int
    vocabulary_size: int
    count: int = 1
    """Canvases of a step."""

    def step(self, keys: Sequence[NoiseKey], *, length: int) -> ReplayedNoise:
        return replace(self, count=len(keys), length=length)

    def draw(self, probabilities: Tensor, rows: slice) -> Tensor:
        return (probabilities / torch.empty_like(probabilities).exponential_(1)).argmax(-1)

    def renoise(self) -> Tensor:
        return torch.randint(0, self.vocabulary_size, (self.count, self.length))


def replayed_noise(model: LoadedModel) -> ReplayedNoise:
    return ReplayedNoise(model.limits.canvas_length, model.network.config.vocabulary_size)


def replay(
    model: LoadedModel, prompt: list[int], sampling: Sampling, *, seed: int
) -> Iterable[Event]:
    """All events of one request that draws as the reference does from this seed on."""
    torch.manual_seed(seed)
    return run(Engine(model, noise=replayed_noise(model)), [submit(prompt, sampling)])


def denoise_one(
    state: CanvasState,
    logits: Tensor,
    *,
    sampling: Sampling,
    noise: StepNoise,
    model: DiffusionGemma,
) -> StepFigures:
    """Moves a single canvas a step on, with the given raw logits."""
    (moved,), (figures,) = denoise(
        [state], lambda rows: logits[rows], samplings=[sampling], noise=noise, model=model
    )
    for field in fields(CanvasState):
        setattr(state, field.name, getattr(moved, field.name))
    return figures


def random_prompt(length: int, seed: int = 0) -> list[int]:
    """Ordinary tokens of a vocabulary of 512, after `<bos>`."""
    generator = torch.Generator().manual_seed(seed)
    return [2, *torch.randint(110, 500, (length - 1,), generator=generator).tolist()]


def submit(
    prompt: list[int], sampling: Sampling, *, request_id: int = 1, drafts: bool = True
) -> Submit:
    return Submit(request_id=request_id, prompt_ids=tuple(prompt), sampling=sampling, drafts=drafts)


def run(engine: Engine, commands: list[Command]) -> list[Event]:
    """All events until the engine has nothing left to do."""
    events = list(engine.step(commands))
    while engine.busy:
        events += engine.step([])
    return events


def answer(events: Iterable[Event]) -> list[int]:
    """Tokens of the only request."""
    return [token for event in events if isinstance(event, Committed) for token in event.token_ids]


def drafts(events: Iterable[Event]) -> list[list[int]]:
    """The argmax canvas of every step."""
    steps = [event for event in events if isinstance(event, Stepped)]
    return [list(step.draft.token_ids) for step in steps if step.draft is not None]


def ending(events: Iterable[Event]) -> Finished:
    """How the only request ended."""
    last = list(events)[-1]
    assert isinstance(last, Finished), last if isinstance(last, Failed) else "not finished"
    return last
