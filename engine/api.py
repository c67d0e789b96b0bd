"""All that the server may know of the engine: errors, messages, options, channel and text codec.

Importing this loads no torch.
"""

from palimpsest.engine.capacity import DEFAULT_MAX_NUM_SEQS, DEFAULT_PREFILL_TOKENS, Capacity
from palimpsest.engine.channel import AsyncChannel, ChannelClosed
from palimpsest.engine.checkpoint import checkpoint_folder, served_name
from palimpsest.engine.commands import Cancel, CanvasPlan, Command, Picture, Stop, Submit, Thinking
from palimpsest.engine.errors import (
    CheckpointError,
    DoesNotFit,
    EngineError,
    EngineStopped,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PromptTooLong,
    Unsupported,
)
from palimpsest.engine.events import (
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
    PageCounts,
    Ready,
    Report,
    RequestEvent,
    Scored,
    Stepped,
    TokenLogprobs,
    Usage,
)
from palimpsest.engine.options import BUNDLED, EngineOptions
from palimpsest.engine.pages import PAGE_TOKENS
from palimpsest.engine.sampling import MAX_OUTPUT_TOKENS, Sampling, refuse_unknown_tokens
from palimpsest.engine.structure.automaton import Automaton, PatternError
from palimpsest.engine.structure.constraint import Constraint
from palimpsest.engine.structure.patterns import MAX_PATTERN, compile_pattern
from palimpsest.engine.structure.transitions import Transitions
from palimpsest.engine.structure.vocabulary import Vocabulary
from palimpsest.engine.text import RESERVED_TEMPLATE_VARIABLES, Detokenizer, Marker, TextCodec
from palimpsest.engine.vision.config import BUDGETS
from palimpsest.engine.vision.expansion import Expanded, PictureTokens, VideoFrame, expand
from palimpsest.engine.vision.patches import CutPicture, PictureCutter, Processing, read_processing

__all__ = [
    "BUDGETS",
    "BUNDLED",
    "DEFAULT_MAX_NUM_SEQS",
    "DEFAULT_PREFILL_TOKENS",
    "MAX_OUTPUT_TOKENS",
    "MAX_PATTERN",
    "PAGE_TOKENS",
    "RESERVED_TEMPLATE_VARIABLES",
    "AsyncChannel",
    "Automaton",
    "Cancel",
    "CanvasPlan",
    "Capacity",
    "ChannelClosed",
    "CheckpointError",
    "Command",
    "Committed",
    "Constraint",
    "CutPicture",
    "Detokenizer",
    "DoesNotFit",
    "Draft",
    "Encoded",
    "EngineError",
    "EngineOptions",
    "EngineStopped",
    "Event",
    "Expanded",
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
    "PageCounts",
    "PatternError",
    "Picture",
    "PictureCutter",
    "PictureTokens",
    "Processing",
    "PromptTooLong",
    "Ready",
    "Report",
    "RequestEvent",
    "Sampling",
    "Scored",
    "Stepped",
    "Stop",
    "Submit",
    "TextCodec",
    "Thinking",
    "TokenLogprobs",
    "Transitions",
    "Unsupported",
    "Usage",
    "VideoFrame",
    "Vocabulary",
    "checkpoint_folder",
    "compile_pattern",
    "expand",
    "read_processing",
    "refuse_unknown_tokens",
    "served_name",
]
