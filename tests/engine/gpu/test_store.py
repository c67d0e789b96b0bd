"""Canvases on the device between steps, and whose is where."""

from __future__ import annotations

import torch

from palimpsest.engine.diffusion import CanvasState
from palimpsest.engine.gpu.store import CanvasStore, Seats

LENGTH, WIDTH = 4, 3


def store(places: int) -> CanvasStore:
    return CanvasStore(
        places, length=LENGTH, width=WIDTH, dtype=torch.float32, device=torch.device("cpu")
    )


def fresh(token: int) -> CanvasState:
    return CanvasState(token_ids=torch.full((LENGTH,), token))


def denoised(token: int) -> CanvasState:
    return CanvasState(
        token_ids=torch.full((LENGTH,), token),
        soft_embedding=torch.full((LENGTH, WIDTH), float(token)),
        draft=torch.full((LENGTH,), token + 1),
        unchanged_steps=token + 2,
        step=7,
    )


def step(of: CanvasStore, place: int, token: int) -> None:
    """As a pass does it."""
    places = torch.tensor([place])
    progress, soft = of.taken(places, torch.zeros(1, dtype=torch.int32))
    for tensor in (progress.tokens, progress.draft, progress.unchanged_steps, soft):
        tensor.fill_(token)
    of.put(places, progress, soft)


def test_a_canvas_that_begins_has_no_draft_and_was_told_nothing() -> None:
    kept = store(2)
    place = kept.nobodys - 1
    kept.move_in(place, denoised(5))

    kept.move_in(place, fresh(3))

    progress, soft = kept.taken(torch.tensor([place]), torch.zeros(1, dtype=torch.int32))
    assert progress.tokens.tolist() == [[3] * LENGTH]
    assert progress.draft.tolist() == [[-1] * LENGTH]
    assert progress.unchanged_steps.tolist() == [0]
    assert not soft.any()


def test_what_moves_out_is_what_moved_in() -> None:
    kept, canvas, other = store(1), denoised(5), fresh(0)
    kept.move_in(0, canvas)

    kept.move_out(0, other)

    assert torch.equal(other.token_ids, canvas.token_ids)
    assert other.draft is not None
    assert other.soft_embedding is not None
    assert other.draft.tolist() == [6] * LENGTH
    assert other.soft_embedding.tolist() == [[5.0] * WIDTH] * LENGTH
    assert other.unchanged_steps == 7


def test_a_canvas_keeps_its_place_while_its_request_goes_on() -> None:
    seats, canvases = Seats(store(3)), {1: fresh(1), 2: fresh(2)}
    first = seats.seat([1, 2], canvases)
    step(seats.store, first[0], 9)

    assert len(set(first)) == 2
    assert seats.seat([2, 1], canvases) == first[::-1]
    assert seats.store.tokens[first[0]].tolist() == [9] * LENGTH, "it must not be moved in again"


def test_the_next_canvas_of_a_request_takes_over_its_place() -> None:
    seats = Seats(store(1))
    [place] = seats.seat([1], {1: fresh(1)})
    step(seats.store, place, 9)

    assert seats.seat([1], {1: fresh(4)}) == [place]
    assert seats.store.tokens[place].tolist() == [4] * LENGTH


def test_places_of_requests_that_ended_are_given_to_others() -> None:
    seats = Seats(store(2))
    seats.seat([1, 2], {1: fresh(1), 2: fresh(2)})

    places = seats.seat([3, 4], {3: fresh(3), 4: fresh(4)})

    assert sorted(places) == [0, 1]


def test_a_canvas_that_waits_moves_out_and_goes_on_later_where_it_was() -> None:
    seats, one, other = Seats(store(1)), fresh(1), fresh(2)
    canvases = {1: one, 2: other}
    [place] = seats.seat([1], canvases)
    step(seats.store, place, 9)
    one.draft = seats.store.drafts[place].clone()

    seats.seat([2], canvases)
    assert seats.store.tokens[place].tolist() == [2] * LENGTH
    seats.seat([1], canvases)

    assert seats.store.tokens[place].tolist() == [9] * LENGTH
    assert seats.store.unchanged_steps[place] == 9
    assert seats.store.soft_embeddings[place].tolist() == [[9.0] * WIDTH] * LENGTH


def test_a_canvas_stepped_elsewhere_is_moved_in_again() -> None:
    seats, canvas = Seats(store(1)), fresh(1)
    seats.seat([1], {1: canvas})
    canvas.token_ids = torch.full((LENGTH,), 8)

    seats.leave(1)
    [place] = seats.seat([1], {1: canvas})

    assert seats.store.tokens[place].tolist() == [8] * LENGTH
