"""How soon the first draft of an answer about a picture of 280 tokens comes: `make first-draft`.

Each picture is asked about twice, in other words: the second time its soft tokens are cached. Its
rows are read again, as no page ends between it and a short question. A question without a picture
stands beside them. Times are the client's, from the call to the first draft. Prints a table, and
JSON as the last line.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from calls import TOKENS, asking, chat, stream
from PIL import Image
from server_process import ServerProcess, start_server

from palimpsest.v1 import canvas_pb2, chat_pb2, prompt_pb2, sampling_pb2

PREVIEW = canvas_pb2.PreviewOptions(mode=TOKENS, max_rate_hz=1_000)
SIZE = (640, 480)
BUDGET = 280
QUESTIONS = {
    "first time": "what colour is the circle?",
    "again": "where is the square?",
}


def picture(seed: int) -> bytes:
    """Noise: no part of it is like another."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def about(png: bytes, text: str) -> prompt_pb2.Prompt:
    image = chat_pb2.Image(data=png, max_soft_tokens=BUDGET)
    prompt = chat(text)
    prompt.chat.messages[0].parts.insert(0, chat_pb2.ContentPart(image=image))
    return prompt


def first_draft(server: ServerProcess, prompt: prompt_pb2.Prompt) -> tuple[float, int, int]:
    """Milliseconds until the first draft; tokens of the prompt, and how many were cached."""
    sampling = sampling_pb2.SamplingParameters(seed=7, max_denoising_steps=2, max_output_tokens=16)
    took_ms, tokens, cached = 0.0, 0, 0
    began = time.perf_counter()
    for event in stream(server, asking(prompt, sampling), PREVIEW):
        if event.HasField("started"):
            tokens, cached = event.started.prompt_tokens, event.started.cached_prompt_tokens
        elif event.HasField("snapshot") and not took_ms:
            took_ms = (time.perf_counter() - began) * 1e3
    return took_ms, tokens, cached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20)
    args = parser.parse_args()
    found: dict[str, list[tuple[float, int, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder) / "log")
        for seed in range(args.pictures + 1):
            png = picture(seed)
            asked = {name: about(png, text) for name, text in QUESTIONS.items()}
            asked["without a picture"] = chat(f"reverse the word: {seed:x}")
            for name, prompt in asked.items():
                taken = first_draft(server, prompt)
                if seed:  # the first one starts the decoder's process
                    found.setdefault(name, []).append(taken)
        server.stop()
    print("| question | prompt tokens | cached | first draft ms, median | fastest | slowest |")
    print("|---|---|---|---|---|---|")
    rows = {}
    for name, taken in found.items():
        times = [took_ms for took_ms, _, _ in taken]
        rows[name] = [round(f(times), 1) for f in (statistics.median, min, max)]
        _, tokens, cached = taken[-1]
        print("|", " | ".join(map(str, [name, tokens, cached, *rows[name]])), "|")
    print(json.dumps({"pictures": args.pictures, "first_draft_ms": rows}))


if __name__ == "__main__":
    main()
