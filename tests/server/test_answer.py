"""Text of drafts: what a reader sees ends where the answer would."""

from __future__ import annotations

from palimpsest.engine.api import (
    Draft,
    ModelInfo,
    Sampling,
    Stepped,
    Submit,
    TextCodec,
    checkpoint_folder,
)
from palimpsest.server.answer import AnswerWriter
from palimpsest.server.call import Call
from palimpsest.server.exchange import Generation, Preview, PreviewMode, Snapshot, TokenPrompt
from palimpsest.server.mailbox import Delivery, Pace

SAMPLING = Sampling(max_output_tokens=64, seed=0)
MODEL = ModelInfo(
    name="palimpsest-tiny",
    canvas_length=64,
    max_context_tokens=4096,
    vocabulary_size=512,
    end_token_ids=(1, 106, 50),
    parameter_count=1,
    device="cpu",
    dtype="float32",
    defaults=SAMPLING,
)


async def test_a_text_draft_stops_at_the_first_end_token() -> None:
    codec = TextCodec(checkpoint_folder("bundled"))
    ids = (*codec.encode("savnac"), 106, *codec.encode("noise behind the end"))

    assert _snapshot(codec, ids).text == "savnac"


def _snapshot(codec: TextCodec, token_ids: tuple[int, ...]) -> Snapshot:
    preview = Preview(mode=PreviewMode.TEXT, pace=Pace(every_n_steps=1, max_rate_hz=100.0))
    wanted = Generation(model="", prompt=TokenPrompt(token_ids=(2,)), sampling={}, preview=preview)
    submit = Submit(request_id=1, prompt_ids=(2,), sampling=SAMPLING, drafts=True)
    call = Call(method="test", request_id="r", time_limit_s=1.0, trace=None)
    step = Stepped(
        request_id=1,
        canvas_index=0,
        step=1,
        start_ns=0,
        end_ns=1,
        batch_size=1,
        temperature=0.8,
        accepted_count=1,
        changed_count=1,
        mean_entropy=1.0,
        draft=Draft(token_ids=token_ids, confidence=b"", accepted_mask=b""),
    )
    written = AnswerWriter(wanted, submit, MODEL, call, codec).write(
        Delivery(sequence=1, event=step)
    )
    assert isinstance(written, Snapshot)
    return written
