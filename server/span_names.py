"""Every name that spans and their attributes have.

`rpc.*`, `http.*` and `error.type` are of OpenTelemetry's semantic conventions 1.45, `gen_ai.*` of
its GenAI conventions 0.1, which are still under development; `palimpsest.*` is what they have no
name for. Names that end in `_ms` are milliseconds.
"""

from __future__ import annotations

GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_ID = "gen_ai.response.id"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_FINISH_REASONS = "gen_ai.response.finish_reasons"

RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
HTTP_ROUTE = "http.route"
ERROR_TYPE = "error.type"

STATUS = "palimpsest.status"
"""gRPC's name of how a call ended, where it was no RPC."""
CANVASES = "palimpsest.canvases"
DENOISING_STEPS = "palimpsest.denoising_steps"
TOKENS = "palimpsest.tokens"
CACHED_TOKENS = "palimpsest.cached_tokens"
CANVAS_INDEX = "palimpsest.canvas.index"
CANVAS_STEPS = "palimpsest.canvas.steps"
CANVAS_CONVERGED = "palimpsest.canvas.converged"
CANVAS_TOKENS = "palimpsest.canvas.tokens"
CANVAS_ACCEPTED = "palimpsest.canvas.accepted_counts"
CANVAS_SLOWEST_STEP = "palimpsest.canvas.slowest_step_ms"
STEP = "palimpsest.step.index"
STEP_TEMPERATURE = "palimpsest.step.temperature"
STEP_ACCEPTED = "palimpsest.step.accepted_count"
STEP_CHANGED = "palimpsest.step.changed_count"
STEP_ENTROPY = "palimpsest.step.mean_entropy"
STEP_QUEUE = "palimpsest.step.queue_ms"
STEP_DEVICE = "palimpsest.step.device_ms"
BATCH_SIZE = "palimpsest.batch.size"

QUEUE_SPAN = "queue"
PREFILL_SPAN = "prefill"
CANVAS_SPAN = "canvas"
STEP_SPAN = "denoising step"
COMMIT_SPAN = "commit"
PASS_SPAN = "engine pass"
