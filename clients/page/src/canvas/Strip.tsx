import type { TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { CanvasRun } from "../run.ts";
import { memo } from "./memo.ts";
import { columnsFor, heatPaths, windowOf } from "./mini.ts";
import { shownAt, stopsOf } from "./shown.ts";

/** Pixels from one small canvas to the next; `canvas.css` has it too. */
const PITCH = 60;

interface Props {
  canvases: readonly CanvasRun[];
  /** Which one is looked at. */
  current: number;
  onPick: (canvas: number) => void;
}

/** All canvases, small, in one row; only those that can be seen are drawn. */
export function Strip({ canvases, current, onPick }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ left: 0, width: 800 });
  useLayoutEffect(() => watch(root.current!, setView), []);
  const moved = useRef(false);
  useLayoutEffect(() => {
    reveal(root.current!, current);
    if (moved.current) root.current!.querySelector<HTMLElement>("[aria-current]")?.focus();
    moved.current = false;
  }, [current]);
  const { first, end } = windowOf(view.left, view.width, PITCH, canvases.length);
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const next = Math.max(0, Math.min(current + by, canvases.length - 1));
    moved.current = next !== current;
    onPick(next);
    event.preventDefault();
  };
  return (
    <div ref={root} class="canvas-strip" role="group" aria-label="Canvases" onKeyDown={onKeyDown}>
      <div class="canvas-strip-row" style={{ width: `${canvases.length * PITCH}px` }}>
        {canvases.slice(first, end).map((canvas, i) => (
          <Mini
            key={canvas.index}
            canvas={canvas}
            at={first + i}
            current={first + i === current}
            onPick={onPick}
          />
        ))}
      </div>
    </div>
  );
}

interface MiniProps {
  canvas: CanvasRun;
  at: number;
  current: boolean;
  onPick: (canvas: number) => void;
}

function Mini({ canvas, at, current, onPick }: MiniProps) {
  const { commit } = canvas;
  const state = commit
    ? `settled in ${commit.steps} steps${commit.converged ? "" : ", at the limit"}`
    : "being written";
  return (
    <button
      type="button"
      class={commit ? "canvas-mini" : "canvas-mini canvas-writing"}
      style={{ left: `${at * PITCH}px` }}
      aria-current={current ? "true" : undefined}
      aria-label={`canvas ${at + 1}, ${state}`}
      title={`canvas ${at + 1}, ${state}`}
      tabIndex={current ? 0 : -1}
      onClick={() => onPick(at)}
    >
      <Heat canvas={canvas} />
      <span>
        {at + 1}
        <small>{commit ? commit.steps : "…"}</small>
      </span>
    </button>
  );
}

const Heat = memo(({ canvas }: { canvas: CanvasRun }) => {
  const confidence = shownAt(canvas, stopsOf(canvas) - 1).tokens?.confidence ?? [];
  const columns = columnsFor(confidence.length);
  const rows = Math.max(1, Math.ceil(confidence.length / columns));
  return (
    <svg viewBox={`0 0 ${columns} ${rows}`} preserveAspectRatio="none" aria-hidden="true">
      {heatPaths(confidence, columns).map(
        (d, level) => d && <path key={level} class={`canvas-heat-${level}`} d={d} />,
      )}
    </svg>
  );
});

/** Tells what part of the row can be seen, now and whenever that changes. */
function watch(root: HTMLElement, onView: (view: { left: number; width: number }) => void) {
  const look = () => onView({ left: root.scrollLeft, width: root.clientWidth });
  const sizes = new ResizeObserver(look);
  sizes.observe(root);
  root.addEventListener("scroll", look, { passive: true });
  return () => {
    sizes.disconnect();
    root.removeEventListener("scroll", look);
  };
}

/** Scrolls as little as it takes to show a canvas and its neighbours. */
function reveal(root: HTMLElement, canvas: number): void {
  const left = (canvas - 1) * PITCH;
  const right = (canvas + 2) * PITCH;
  if (left < root.scrollLeft) root.scrollLeft = left;
  else if (right > root.scrollLeft + root.clientWidth) root.scrollLeft = right - root.clientWidth;
}
