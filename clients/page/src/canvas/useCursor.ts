// Where a reader looks, kept while a run grows.

import { useMemo, useState } from "preact/hooks";
import { placeAt, positionOf, trackOf, type Cursor, type Place, type Track } from "./positions.ts";

export interface Looking {
  track: Track;
  cursor: Cursor;
  setCursor: (cursor: Cursor) => void;
  place: Place;
}

/** Follows the newest at first. */
export function useCursor(lengths: readonly number[]): Looking {
  const [cursor, setCursor] = useState<Cursor>("live");
  const track = useMemo(() => trackOf(lengths), [lengths]);
  return { track, cursor, setCursor, place: placeAt(track, positionOf(track, cursor)) };
}
