"""From a request to the sequence that it becomes: what its canvases keep to."""

from __future__ import annotations

from dataclasses import replace

from palimpsest.engine.commands import Submit
from palimpsest.engine.filling import Filling
from palimpsest.engine.loaded_model import LoadedModel
from palimpsest.engine.logit_controls import Chooser, LogitControls
from palimpsest.engine.scheduler import Job
from palimpsest.engine.sequence import Sequence
from palimpsest.engine.structure.form import Form
from palimpsest.engine.thoughts import ThoughtBudget


def begin(request: Submit, job: Job, model: LoadedModel) -> Sequence:
    """The request before its first pass; canvases that came with it are read."""
    length = request.canvas.canvas_length or model.limits.canvas_length
    return Sequence(
        request=request,
        job=job,
        limits=replace(model.limits, canvas_length=length),
        controls=_controls(request, model),
        filling=_filling(request, model),
        canvas_index=len(request.committed_ids) // length,
        output_count=len(request.committed_ids),
    )


def _controls(request: Submit, model: LoadedModel) -> LogitControls | None:
    sampling, pinned, chooser = request.sampling, request.canvas.pinned, _chooser(request, model)
    if not sampling.controls_logits and not pinned and chooser is None:
        return None
    controls = LogitControls(
        sampling,
        always_allowed={*_fillers(model), *sampling.stop_token_ids},
        size=model.network.config.vocabulary_size,
        device=model.device,
        pinned=pinned,
        chooser=chooser,
    )
    controls.read(request.prompt_ids)
    controls.commit(request.committed_ids)
    return controls


def _chooser(request: Submit, model: LoadedModel) -> Chooser | None:
    thinking = request.thinking
    if request.constraint is not None:
        return Form(
            request.constraint,
            model.vocabulary,
            end_ids=model.limits.end_token_ids,
            thinking=thinking,
            limit=request.sampling.max_output_tokens,
        )
    if thinking is not None and thinking.budget is not None:
        return ThoughtBudget(thinking, thinking.budget)
    return None


def _filling(request: Submit, model: LoadedModel) -> Filling | None:
    if request.canvas.template_length is None:
        return None
    return Filling(request.canvas, fillers=_fillers(model))


def _fillers(model: LoadedModel) -> frozenset[int]:
    """What ends an answer, and what fills a canvas behind it."""
    return model.limits.end_token_ids | {model.network.config.pad_token_id}
