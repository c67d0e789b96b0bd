import { describe, expect, it } from "vitest";
import {
  cursorAt,
  cursorAtEndOf,
  neighbour,
  placeAt,
  played,
  positionOf,
  trackOf,
} from "../../src/canvas/positions.ts";

const track = trackOf([3, 1, 2]);

describe("positions of the slider", () => {
  it("are one for each stop of each canvas, in order", () => {
    const places = [0, 1, 2, 3, 4, 5].map((position) => placeAt(track, position));
    expect(places.map(({ canvas, stop }) => `${canvas}.${stop}`)).toEqual([
      "0.0",
      "0.1",
      "0.2",
      "1.0",
      "2.0",
      "2.1",
    ]);
    expect(places.map((place) => positionOf(track, place))).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("off the track are the nearest on it", () => {
    expect(placeAt(track, -4)).toEqual({ canvas: 0, stop: 0 });
    expect(placeAt(track, 99)).toEqual({ canvas: 2, stop: 1 });
    expect(positionOf(track, { canvas: 1, stop: 7 })).toBe(3);
    expect(positionOf(trackOf([]), "live")).toBe(0);
  });

  it("are found among a thousand canvases", () => {
    const long = trackOf(new Array<number>(1000).fill(48));
    expect(placeAt(long, 47_999)).toEqual({ canvas: 999, stop: 47 });
    expect(placeAt(long, 24_000)).toEqual({ canvas: 500, stop: 0 });
  });
});

describe("a cursor", () => {
  it("at the end follows what comes", () => {
    expect(cursorAt(track, 5)).toBe("live");
    expect(positionOf(trackOf([3, 1, 4]), "live")).toBe(7);
  });

  it("moved back stays where it is while the run goes on", () => {
    const cursor = cursorAt(track, 4);
    expect(cursor).toEqual({ canvas: 2, stop: 0 });
    expect(positionOf(trackOf([3, 1, 9, 5]), cursor)).toBe(4);
  });

  it("keeps its canvas when an earlier one grows", () => {
    expect(positionOf(trackOf([6, 1, 2]), { canvas: 2, stop: 0 })).toBe(7);
  });

  it("goes to where the neighbouring canvas begins, or this one, or the end", () => {
    expect(neighbour(track, 1, 1)).toBe(3);
    expect(neighbour(track, 2, -1)).toBe(0);
    expect(neighbour(track, 3, -1)).toBe(0);
    expect(neighbour(track, 0, -1)).toBe(0);
    expect(neighbour(track, 4, 1)).toBe(5);
  });

  it("jumps to what became of a canvas", () => {
    expect(cursorAtEndOf(track, 0)).toEqual({ canvas: 0, stop: 2 });
    expect(cursorAtEndOf(track, 2)).toBe("live");
  });
});

describe("playing", () => {
  const gapMs = (position: number) => [10, 0, 30, 5, 5][position]!;

  it("moves on when the recorded time has passed, and keeps the rest", () => {
    expect(played(0, 9, 5, gapMs)).toEqual({ position: 0, restMs: 9 });
    expect(played(0, 25, 5, gapMs)).toEqual({ position: 2, restMs: 15 });
  });

  it("ends at the last position", () => {
    expect(played(0, 1e6, 5, gapMs).position).toBe(5);
  });
});
