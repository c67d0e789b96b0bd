// The slider's positions: one for each stop of each canvas, in one row. Pure.
//
// A stop is something that can be looked at: a draft, or what a canvas became. All counts are from 0.

/** How many stops each canvas has, ready to be searched. */
export interface Track {
  /** Position of each canvas's first stop. */
  starts: readonly number[];
  total: number;
}

export interface Place {
  canvas: number;
  stop: number;
}

/** What a reader looks at: whatever is newest, or a place that stays while the run goes on. */
export type Cursor = "live" | Place;

export function trackOf(lengths: readonly number[]): Track {
  const starts: number[] = [];
  let total = 0;
  for (const length of lengths) {
    starts.push(total);
    total += length;
  }
  return { starts, total };
}

/** The place at a position; positions off the track are the nearest on it, of which there is one. */
export function placeAt(track: Track, position: number): Place {
  const wanted = Math.max(0, Math.min(position, track.total - 1));
  let low = 0;
  let high = track.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (track.starts[middle]! <= wanted) low = middle;
    else high = middle - 1;
  }
  return { canvas: low, stop: wanted - (track.starts[low] ?? 0) };
}

export function lengthOf(track: Track, canvas: number): number {
  return (track.starts[canvas + 1] ?? track.total) - (track.starts[canvas] ?? track.total);
}

/** Where a cursor stands now. */
export function positionOf(track: Track, cursor: Cursor): number {
  const end = Math.max(0, track.total - 1);
  if (cursor === "live") return end;
  const canvas = Math.min(cursor.canvas, track.starts.length - 1);
  const stop = Math.min(cursor.stop, lengthOf(track, canvas) - 1);
  return Math.max(0, Math.min((track.starts[canvas] ?? 0) + stop, end));
}

/** The cursor for a position: at the end it follows what comes. */
export function cursorAt(track: Track, position: number): Cursor {
  return position >= track.total - 1 ? "live" : placeAt(track, position);
}

/** Where the canvas `by` canvases further begins; beyond the last one is the end. */
export function neighbour(track: Track, position: number, by: -1 | 1): number {
  const { canvas, stop } = placeAt(track, position);
  if (by < 0) return track.starts[stop > 0 ? canvas : canvas - 1] ?? 0;
  return track.starts[canvas + 1] ?? Math.max(0, track.total - 1);
}

/** The cursor on the last stop of a canvas, which is what became of it. */
export function cursorAtEndOf(track: Track, canvas: number): Cursor {
  return cursorAt(track, (track.starts[canvas] ?? 0) + lengthOf(track, canvas) - 1);
}

/**
 * Where playing stands after `elapsedMs` more, and what is left of them; `gapMs` is the time from a
 * position to the next.
 */
export function played(
  position: number,
  elapsedMs: number,
  last: number,
  gapMs: (position: number) => number,
): { position: number; restMs: number } {
  let restMs = elapsedMs;
  while (position < last && gapMs(position) <= restMs) {
    restMs -= gapMs(position);
    position += 1;
  }
  return { position, restMs };
}
