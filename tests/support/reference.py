"""The reference: transformers' own network and generation loop, and what they do step by step.

Its cache is the dynamic one, its experts the plain loop ("eager"); see `record`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import DiffusionGemmaForBlockDiffusion

Reference: TypeAlias = Any
"""Something of transformers, whose annotations do not fit its own use of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """One denoising step of the reference. C positions, V tokens."""

    remaining: int
    """Counts down to 1."""
    canvas: Tensor
    """[C] what the network saw."""
    conditioning: Tensor | None
    """[C, V] logits of the step before, as the reference keeps them."""
    generator_state: Tensor
    """Of torch's default generator, before this step's draws."""
    raw: Tensor
    """[C, V] logits as they leave the network."""
    kept: Tensor
    """[C, V] logits over the temperature."""
    argmax: Tensor
    """[C]"""
    next_canvas: Tensor
    """[C]"""
    finished: bool


@dataclass(slots=True)
class Recording:
    """One run of the reference."""

    prompt: list[int]
    canvases: list[list[RecordedStep]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """All canvases; from the first end token on, the rest is padding."""

    @property
    def steps(self) -> list[RecordedStep]:
        return [step for canvas in self.canvases for step in canvas]

    def answer(self, end_token_ids: frozenset[int]) -> list[int]:
        """The tokens before the first end token."""
        ends = [i for i, token in enumerate(self.tokens) if token in end_token_ids]
        return self.tokens[: ends[0]] if ends else self.tokens


def load_reference(folder: Path, dtype: torch.dtype = torch.float32) -> Reference:
    """The reference with the weights of a checkpoint; those of the vision tower may be missing."""
    reference: Reference = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=dtype)
    reference.eval().requires_grad_(False)
    reference.set_experts_implementation("eager")
    with warnings.catch_warnings():
        # on first use, in every denoising step, torch imports what it deprecates itself
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.compiler.cudagraph_mark_step_begin()
    return reference


@torch.inference_mode()
def record(
    reference: Reference, prompt: list[int], *, seed: int, canvases: int, **settings: object
) -> Recording:
    """Lets the reference generate, with what `generate` takes as `settings`."""
    recording = Recording(prompt)
    torch.manual_seed(seed)
    with _spying(reference, recording):
        output = reference.generate(
            torch.tensor([prompt]),
            max_new_tokens=canvases * reference.config.canvas_length,
            **settings,
        )
    recording.tokens = output.sequences[0, len(prompt) :].tolist()
    return recording


@contextmanager
def _spying(reference: Reference, recording: Recording) -> Iterator[None]:
    """Adds each denoising step to `recording`."""
    forward, denoising_step = reference.forward, reference._denoising_step
    raw: list[Tensor] = []
    states: list[Tensor] = []

    def spy_forward(**inputs: object) -> Any:  # noqa: ANN401
        output = forward(**inputs)
        raw.append(output.logits[0].clone())
        states.append(torch.get_rng_state())
        return output

    def spy_step(**inputs: Any) -> object:  # noqa: ANN401 - handed on as it came
        seen, conditioning = inputs["current_canvas"][0], inputs["self_conditioning_logits"]
        output = denoising_step(**{**inputs, "decoder_forward": spy_forward})
        next_canvas, argmax, kept, finished = output
        if conditioning is None:
            recording.canvases.append([])
        step = RecordedStep(
            remaining=int(inputs["cur_step"]),
            canvas=seen.clone(),
            conditioning=None if conditioning is None else conditioning[0].clone(),
            generator_state=states.pop(),
            raw=raw.pop(),
            kept=kept[0].clone(),
            argmax=argmax[0].clone(),
            next_canvas=next_canvas[0].clone(),
            finished=bool(finished),
        )
        recording.canvases[-1].append(step)
        return output

    reference._denoising_step = spy_step
    try:
        yield
    finally:
        del reference._denoising_step


@dataclass(slots=True)
class Call:
    """What a module was given and what it gave back, without the batch axis."""

    inputs: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    output: Any = None


@contextmanager
def watching(*modules: nn.Module) -> Iterator[list[list[Call]]]:
    """The calls of each module for the length of a `with` block."""
    calls: list[list[Call]] = [[] for _ in modules]
    handles = [
        module.register_forward_hook(_note(into), with_kwargs=True)
        for module, into in zip(modules, calls, strict=True)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _note(into: list[Call]) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: Any, keywords: Any, output: Any) -> None:  # noqa: ANN401
        into.append(Call(_copied(inputs), _copied(keywords), _copied(output)))

    return hook


def _copied(value: Any) -> Any:  # noqa: ANN401 - whatever a module takes or gives
    """Copies of tensors, so that a later change in place does not reach them."""
    match value:
        case Tensor():
            return value.squeeze(0).clone() if value.ndim > 2 else value.clone()
        case tuple():
            return tuple(_copied(item) for item in value)
        case dict():
            return {name: _copied(item) for name, item in value.items()}
        case _:
            return value
