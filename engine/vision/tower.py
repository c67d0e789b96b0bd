"""The vision tower: patches of pictures in, one soft token for each square of patches out.

Rows of all pictures go through the layers together; attention, which is passed in, keeps each
picture to itself. Names of modules equal those in the checkpoint below `model.encoder.`, but for
the `linear` inside a projection. Formulas: transformers, models/gemma4 (Gemma4VisionModel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from palimpsest.engine.commands import Picture
from palimpsest.engine.layers import Mlp, Norm
from palimpsest.engine.shapes import Features, Hidden, Keys, Queries, Rotation
from palimpsest.engine.vision.config import VisionConfig
from palimpsest.kernels.attention import attention
from palimpsest.kernels.norm import rms_norm
from palimpsest.kernels.rope import default_frequencies, rotate, rotation

AttendPictures = Callable[[Queries, Keys, Keys, Sequence[int]], Queries]
"""Queries, keys, values and the rows of each picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """A picture cut up. It becomes rows · columns tokens, in reading order."""

    rows: int
    columns: int
    values: Tensor
    """uint8 [patches, patch_values] in reading order: pooling² patches a token."""


def attend_pictures(query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int]) -> Tensor:
    """Every patch sees all patches of its own picture."""
    parts = zip(*(x.split(list(lengths)) for x in (query, key, value)), strict=True)
    return torch.cat([attention(query=q, key=k, value=v, mask=None) for q, k, v in parts])


class PatchEmbedder(nn.Module):
    """input_proj(2 (p - ½)) + a learned embedding of column and row."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.input_proj = nn.Linear(config.patch_values, config.hidden_size, bias=False)
        shape = (2, config.position_count, config.hidden_size)
        self.position_embedding_table = nn.Parameter(torch.empty(shape))

    def forward(self, values: Tensor, places: Tensor) -> Hidden:
        """`values` are uint8; `places` are [patches, 2]: column and row."""
        # in this order, as the reference rescales before it centres
        pixels = 2 * (values.float() * (1 / 255) - 0.5)
        columns, rows = self.position_embedding_table
        embedded = self.input_proj(pixels.to(self.input_proj.weight.dtype))
        return embedded + columns[places[:, 0]] + rows[places[:, 1]]


class VisionAttention(nn.Module):
    """Projections around attention: normalised queries, keys and values, turned in two axes."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        width, head = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(width, config.num_heads * head, bias=False)
        self.k_proj = nn.Linear(width, config.num_key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(width, config.num_key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(config.num_heads * head, width, bias=False)
        self.q_norm = Norm(head, config.epsilon)
        self.k_norm = Norm(head, config.epsilon)

    def forward(
        self, x: Hidden, axes: Sequence[tuple[Rotation, Rotation]], attend: AttendRows
    ) -> Hidden:
        head, epsilon = self.config.head_dim, self.config.epsilon
        query, key, value = (
            projection(x).unflatten(-1, (-1, head))
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = (_turn(y, axes) for y in (self.q_norm(query), self.k_norm(key)))
        output = attend(query, key, rms_norm(value, None, epsilon=epsilon))
        return self.o_proj(output.flatten(-2))


AttendRows = Callable[[Queries, Keys, Keys], Queries]


def _turn(heads: Tensor, axes: Sequence[tuple[Rotation, Rotation]]) -> Tensor:
    """The first half of each head by the patch's column, the second by its row."""
    halves = heads.chunk(2, -1)
    return torch.cat([rotate(half, *axis) for half, axis in zip(halves, axes, strict=True)], -1)


class VisionLayer(nn.Module):
    """Attention, then an MLP, each between two norms."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, epsilon = config.hidden_size, config.epsilon
        self.self_attn = VisionAttention(config)
        self.mlp = Mlp(width, config.mlp_width)
        self.input_layernorm = Norm(width, epsilon)
        self.post_attention_layernorm = Norm(width, epsilon)
        self.pre_feedforward_layernorm = Norm(width, epsilon)
        self.post_feedforward_layernorm = Norm(width, epsilon)

    def forward(
        self, x: Hidden, axes: Sequence[tuple[Rotation, Rotation]], attend: AttendRows
    ) -> Hidden:
        attended = self.self_attn(self.input_layernorm(x), axes, attend)
        x = x + self.post_attention_layernorm(attended)
        dense = self.mlp(self.pre_feedforward_layernorm(x))
        return x + self.post_feedforward_layernorm(dense)


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))


class VisionTower(nn.Module):
    """From patches to pooled, standardised features."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedder = PatchEmbedder(config)
        self.encoder = Encoder(config)
        if config.standardize:
            self.std_bias = nn.Buffer(torch.zeros(config.hidden_size))
            self.std_scale = nn.Buffer(torch.ones(config.hidden_size))

    def forward(self, pictures: Sequence[Patches], attend: AttendPictures) -> Features:
        """A row for each token of all pictures."""
        config = self.config
        places = torch.cat([_places(p, config.pooling) for p in pictures])
        places = places.to(pictures[0].values.device)
        x = self.patch_embedder(torch.cat([p.values for p in pictures]), places)
        frequencies = default_frequencies(config.head_dim // 2, theta=config.theta)
        frequencies = frequencies.to(places.device)
        axes = [rotation(axis, frequencies, x.dtype) for axis in places.T]
        lengths = [len(p.values) for p in pictures]
        for layer in self.encoder.layers:
            x = layer(x, axes, lambda q, k, v: attend(q, k, v, lengths))
        pooled = [
            _pool(y, p, config.pooling) for y, p in zip(x.split(lengths), pictures, strict=True)
        ]
        return self._standardised(torch.cat(pooled)).to(x.dtype)

    def _standardised(self, pooled: Tensor) -> Tensor:
        # √H makes numbers too large for 16 bits, which the subtraction takes back
        scaled = pooled.float() * self.config.hidden_size**0.5
        if self.config.standardize:
            scaled = (scaled - self.std_bias.float()) * self.std_scale.float()
        return scaled


class Projector(nn.Module):
    """Into the width of the text network."""

    def __init__(self, config: VisionConfig, width: int) -> None:
        super().__init__()
        self.epsilon = config.epsilon
        self.embedding_projection = nn.Linear(config.hidden_size, width, bias=False)

    def forward(self, features: Features) -> Hidden:
        return self.embedding_projection(rms_norm(features, None, epsilon=self.epsilon))


class Vision(nn.Module):
    """Tower and projector: what the causal rows of pictures enter the text network as."""

    def __init__(self, config: VisionConfig, width: int) -> None:
        super().__init__()
        self.vision_tower = VisionTower(config)
        self.embed_vision = Projector(config, width)

    def forward(
        self, pictures: Iterable[Patches], attend: AttendPictures = attend_pictures
    ) -> Hidden:
        """Soft tokens [rows · columns of all pictures, width], unscaled."""
        return self.embed_vision(self.vision_tower(list(pictures), attend))

    def patches(self, picture: Picture) -> Patches:
        """The picture on the tower's device."""
        values = torch.frombuffer(bytearray(picture.patches), dtype=torch.uint8)
        values = values.view(-1, self.vision_tower.config.patch_values)
        device = self.embed_vision.embedding_projection.weight.device
        return Patches(rows=picture.rows, columns=picture.columns, values=values.to(device))


def _places(picture: Patches, pooling: int) -> Tensor:
    """[patches, 2] column and row of each patch, in reading order."""
    rows = torch.arange(picture.rows * pooling)
    columns = torch.arange(picture.columns * pooling)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).flatten(0, 1)


def _pool(x: Hidden, picture: Patches, pooling: int) -> Tensor:
    """[tokens, H] means over pooling × pooling patches, summed in fp32 and rounded as the rows."""
    grid = x.float().unflatten(0, (picture.rows, pooling, picture.columns, pooling))
    return grid.mean((1, 3)).flatten(0, 1).to(x.dtype)
