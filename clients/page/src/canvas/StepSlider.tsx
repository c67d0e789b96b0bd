import type { TargetedKeyboardEvent } from "preact";
import { memo } from "./memo.ts";
import { usePlayer } from "./playing.ts";
import { cursorAt, neighbour, positionOf, type Cursor, type Track } from "./positions.ts";

const SPEEDS = [0.25, 0.5, 1, 2, 4];

interface Props {
  track: Track;
  cursor: Cursor;
  onCursor: (cursor: Cursor) => void;
  /** Where the cursor is, in words. */
  place: string;
  /** What else is to be said of it. */
  note: string;
  gapMs: (position: number) => number;
  running: boolean;
}

/** Every step of every canvas in one row; at its end it follows what comes. */
export function StepSlider({ track, cursor, onCursor, place, note, gapMs, running }: Props) {
  const player = usePlayer({ track, cursor, onCursor, gapMs, running });
  const position = positionOf(track, cursor);
  const end = Math.max(0, track.total - 1);
  const go = (to: number) => {
    player.stop();
    onCursor(cursorAt(track, to));
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "PageUp") go(neighbour(track, position, 1));
    else if (event.key === "PageDown") go(neighbour(track, position, -1));
    else if (event.key === "End") go(end);
    else if (event.key === " ") player.toggle();
    else return;
    event.preventDefault();
  };
  return (
    <div class="canvas-player">
      <button
        type="button"
        class="canvas-button canvas-play"
        onClick={player.toggle}
        aria-label={player.playing ? "Pause" : "Play"}
      >
        <PlayIcon playing={player.playing} />
      </button>
      <div class="canvas-slider">
        <Ticks starts={track.starts} end={end} />
        <input
          type="range"
          aria-label="Step"
          aria-valuetext={place}
          min={0}
          max={end}
          step={1}
          value={position}
          onInput={(event) => go(event.currentTarget.valueAsNumber)}
          onKeyDown={onKeyDown}
        />
      </div>
      <button
        type="button"
        class={`canvas-button canvas-live${running ? " canvas-running" : ""}`}
        onClick={() => go(end)}
        aria-pressed={cursor === "live"}
      >
        {running ? "Live" : "End"}
      </button>
      <Speed speed={player.speed} onSpeed={player.setSpeed} />
      <output class="canvas-place">
        <b>{place}</b> {note}
      </output>
    </div>
  );
}

const Speed = memo(({ speed, onSpeed }: { speed: number; onSpeed: (speed: number) => void }) => (
  <select
    class="canvas-button"
    aria-label="Playing speed"
    value={String(speed)}
    onChange={(event) => onSpeed(Number(event.currentTarget.value))}
  >
    {SPEEDS.map((each) => (
      <option key={each} value={String(each)}>
        {each}×
      </option>
    ))}
  </select>
));

const PlayIcon = memo(({ playing }: { playing: boolean }) => (
  <svg viewBox="0 0 12 12" aria-hidden="true">
    <path d={playing ? "M2 1h3v10h-3zM7 1h3v10h-3z" : "M2 1l9 5l-9 5z"} />
  </svg>
));

/** Ticks at most; of more canvases, every tenth has one, or every hundredth. */
const TICKS = 60;

/** Where canvases begin. */
const Ticks = memo(({ starts, end }: { starts: readonly number[]; end: number }) => {
  const every = [1, 10, 100].find((each) => starts.length <= TICKS * each) ?? 1000;
  const path = starts
    .filter((_, canvas) => canvas % every === 0)
    .map((at) => `M${((1000 * at) / Math.max(1, end)).toFixed(1)} 0v4`);
  return (
    <svg class="canvas-ticks" viewBox="0 0 1000 4" preserveAspectRatio="none" aria-hidden="true">
      <path d={path.join("")} />
    </svg>
  );
});
