"""Names for shapes of tensors.

T rows of one pass · H hidden size · B canvases · C canvas length.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

Hidden = Float[Tensor, "T H"]
Features = Float[Tensor, "T F"]
"""Of pictures, before they are brought to the width of the text network."""
Shown = Float[Tensor, "shown H"]
"""Pictures as causal rows enter with them."""
SoftEmbedding = Float[Tensor, "rows H"]
TokenIds = Int[Tensor, " T"]
Positions = Int[Tensor, " T"]
RowMask = Bool[Tensor, " T"]
Queries = Float[Tensor, "T N D"]
Keys = Float[Tensor, "T G D"]
Rotation = Float[Tensor, "T D"]
Canvas = Int[Tensor, " C"]
Canvases = Int[Tensor, "B C"]
PerPosition = Float[Tensor, "*B C"]
PositionMask = Bool[Tensor, "*B C"]
Logits = Float[Tensor, "rows V"]
PerRow = Float[Tensor, " rows"]
