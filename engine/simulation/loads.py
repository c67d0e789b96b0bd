"""The built-in loads. They are made up, in the proportions that interest; nobody recorded them."""

from __future__ import annotations

from palimpsest.engine.simulation.load import Kind, Load
from palimpsest.engine.simulation.sizes import Lognormal, Uniform

_STEPS = Uniform(8, 24)
_CHAT_PROMPT = Lognormal(300, 0.8, 4_000)
_CHAT_ANSWER = Lognormal(250, 0.7, 2_048)


def _chat(name: str, traffic: float) -> Kind:
    return Kind(
        name=name,
        traffic=traffic,
        prompt_tokens=_CHAT_PROMPT,
        output_tokens=_CHAT_ANSWER,
        steps=_STEPS,
        share=name,
        prefix_tokens=512,
        prefixes=4,
    )


MIXED = Load(
    name="mixed",
    kinds=(
        _chat("chat", 0.9),
        Kind(
            name="document",
            traffic=0.1,
            prompt_tokens=Uniform(10_000, 60_000),
            output_tokens=Lognormal(400, 0.7, 2_048),
            steps=_STEPS,
            share="document",
        ),
    ),
)
"""Short chats with some few system prompts, beside long documents."""

FLOOD = Load(name="flood", kinds=(_chat("steady", 0.1), _chat("flood", 0.9)))
"""Two tenants ask for the same kind of thing, one of them nine times as often."""
