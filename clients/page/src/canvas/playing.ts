// Plays a track at the times at which it was recorded.

import { useEffect, useRef, useState } from "preact/hooks";
import { cursorAt, placeAt, played, positionOf, type Cursor, type Track } from "./positions.ts";

export interface Player {
  playing: boolean;
  speed: number;
  setSpeed: (speed: number) => void;
  /** Plays from the cursor, from the beginning if that is at the end; or stops where it is. */
  toggle: () => void;
  stop: () => void;
}

interface Played {
  track: Track;
  cursor: Cursor;
  onCursor: (cursor: Cursor) => void;
  /** Milliseconds from a position to the next. */
  gapMs: (position: number) => number;
  /** Whether more may come: following it is playing too. */
  running: boolean;
}

export function usePlayer(given: Played): Player {
  const [going, setGoing] = useState(false);
  const [speed, setSpeed] = useState(1);
  const latest = useRef(given);
  latest.current = given;
  const { cursor, onCursor, track, running } = given;

  useEffect(() => (going ? play(latest, speed, () => setGoing(false)) : undefined), [going, speed]);

  const following = running && cursor === "live";
  const toggle = () => {
    if (following) onCursor(placeAt(track, track.total - 1));
    else if (!going && cursor === "live") onCursor(cursorAt(track, 0));
    setGoing(!following && !going);
  };
  return { playing: going || following, speed, setSpeed, toggle, stop: () => setGoing(false) };
}

/** Moves the cursor until it is at the end; returns what stops it. */
function play(latest: { current: Played }, speed: number, onEnd: () => void): () => void {
  let since = performance.now();
  let restMs = 0;
  let timer = 0;
  const move = () => {
    const { track, cursor, onCursor, gapMs } = latest.current;
    const now = performance.now();
    const from = positionOf(track, cursor);
    const to = played(from, restMs + (now - since) * speed, track.total - 1, gapMs);
    since = now;
    restMs = to.restMs;
    if (to.position !== from) onCursor(cursorAt(track, to.position));
    if (to.position >= track.total - 1) onEnd();
    else timer = window.setTimeout(move, Math.max(4, (gapMs(to.position) - restMs) / speed));
  };
  timer = window.setTimeout(move, 0);
  return () => clearTimeout(timer);
}
