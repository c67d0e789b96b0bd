"""Everything that can go wrong in or before the engine, as the server and the command line see it.

EngineError
├── InvalidRequest     the caller sent a value outside its bound; names field, value and bound
│   └── PromptTooLong  the prompt and one canvas are more than the context
├── Unsupported        the field is in the contract and not built yet
├── ModelNotFound      another model than the served one was asked for
├── Overloaded         the waiting queue is full; try again later
├── EngineStopped      the engine process ended under a running request; safe to retry
└── CheckpointError    files of a checkpoint are missing, damaged or of another kind
    └── DoesNotFit     the checkpoint or the asked-for context needs more memory than there is
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors that are answered with a status instead of a traceback."""


class InvalidRequest(EngineError):
    """A value outside its bound. `field` is the path of the field, as in `sampling.temperature`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[type[InvalidRequest], tuple[str, str]]:
        return type(self), (self.field, self.reason)

    def under(self, parent: str) -> InvalidRequest:
        """The same complaint with its field placed below `parent`."""
        return type(self)(f"{parent}.{self.field}", self.reason)


class PromptTooLong(InvalidRequest):
    """The prompt leaves no room for a canvas in the context; the reason says both lengths."""


class Unsupported(EngineError):
    """A field of the contract that this version does not act on; nothing is silently ignored."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: not supported by this version; leave it unset")
        self.field = field


class ModelNotFound(EngineError):
    """A request names a model that this server does not serve."""


class Overloaded(EngineError):
    """The waiting queue is full. `retry_after_s` is when it is worth trying again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineStopped(EngineError):
    """The engine process ended before the request did. `retry_after_s` is when it is worth trying
    again."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CheckpointError(EngineError):
    """A checkpoint cannot be loaded; the message names the file and what is wrong with it."""


class DoesNotFit(CheckpointError):
    """The model or the context length needs more memory than is available; says what would fit."""
