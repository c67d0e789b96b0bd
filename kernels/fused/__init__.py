"""The operations of a step on a GPU, fused, in Triton: one file per kernel.

Each file has, in this order, the plain definition (`*_reference`, of the operations in the folder
above), the launcher and the kernel. Tile sizes depend on shapes of the model alone, never on how
many rows there are, so that the bits of a row do not depend on its neighbours; where they do
(`rows_of_a_tile`), bits do not depend on them. Needs triton.
"""
