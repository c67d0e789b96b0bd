"""Names for the shapes of tensors, used in signatures.

T rows of one pass · H hidden size, or what a norm runs over · N heads · G key/value heads · D head
size · M keys · E experts · K experts per token · I width of an expert · B canvases · C canvas
length, or rows of canvases · V vocabulary size · R rotating angles.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

Hidden = Float[Tensor, "*rows H"]
NormWeight = Float[Tensor, " H"]
TokenIds = Int[Tensor, " T"]
Positions = Int[Tensor, " T"]
Slots = Int[Tensor, " T"]
Queries = Float[Tensor, "T N D"]
Keys = Float[Tensor, "M G D"]
AttentionMask = Bool[Tensor, "T M"]
Rotation = Float[Tensor, "T D"]
Heads = Float[Tensor, "T heads D"]
InverseFrequencies = Float[Tensor, " R"]
ExpertIds = Int[Tensor, "T K"]
ExpertWeights = Float[Tensor, "T K"]
Logits = Float[Tensor, "C V"]
Probabilities = Float[Tensor, "C V"]
PerRow = Float[Tensor, " C"]
PerCanvas = Float[Tensor, "*B"]
PerPosition = Float[Tensor, "*B C"]
PositionMask = Bool[Tensor, "*B C"]
Canvas = Int[Tensor, " C"]
Canvases = Int[Tensor, "B C"]
