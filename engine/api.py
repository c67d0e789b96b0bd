"""All that the server may know of the engine: errors, messages, options, channel and text codec.

Importing this loads no torch.
"""

from palimpsest.engine.capacity import (
    DEFAULT_MAX_NUM_SEQS,
    DEFAULT_PREFILL_TOKENS,
    Capacity,
)
from palimpsest.engine.channel import AsyncChannel, ChannelClosed
from palimpsest.engine.checkpoint import checkpoint_folder, served_name
from palimpsest.engine.errors import (
    CheckpointError,
    DoesNotFit,
    EngineError,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from palimpsest.engine.messages import (
    Cancel,
    CanvasPlan,
    Command,
    Committed,
    Draft,
    Encoded,
    Event,
    Failed,
    Finished,
    FinishReason,
    Frame,
    LoadFailed,
    Loading,
    ModelInfo,
    Ready,
    RequestEvent,
    Scored,
    Stepped,
    Stop,
    Submit,
    TokenLogprobs,
    Usage,
)
from palimpsest.engine.options import BUNDLED, EngineOptions
from palimpsest.engine.sampling import MAX_OUTPUT_TOKENS, Sampling, refuse_unknown_tokens
from palimpsest.engine.text import (
    RESERVED_TEMPLATE_VARIABLES,
    Detokenizer,
    Marker,
    TextCodec,
)

__all__ = [
    "BUNDLED",
    "DEFAULT_MAX_NUM_SEQS",
    "DEFAULT_PREFILL_TOKENS",
    "MAX_OUTPUT_TOKENS",
    "RESERVED_TEMPLATE_VARIABLES",
    "AsyncChannel",
    "Cancel",
    "CanvasPlan",
    "Capacity",
    "ChannelClosed",
    "CheckpointError",
    "Command",
    "Committed",
    "Detokenizer",
    "DoesNotFit",
    "Draft",
    "Encoded",
    "EngineError",
    "EngineOptions",
    "EngineStopped",
    "Event",
    "Failed",
    "FinishReason",
    "Finished",
    "Frame",
    "InvalidRequest",
    "LoadFailed",
    "Loading",
    "Marker",
    "ModelInfo",
    "ModelNotFound",
    "Overloaded",
    "Ready",
    "RequestEvent",
    "Sampling",
    "Scored",
    "Stepped",
    "Stop",
    "Submit",
    "TextCodec",
    "TokenLogprobs",
    "Unsupported",
    "Usage",
    "checkpoint_folder",
    "refuse_unknown_tokens",
    "served_name",
]
