// A run: one request and all that came back, every step of every canvas, kept so that it can be
// looked at again. Pure values: what an event makes of a run is a new one, and a run is JSON but for
// its seeds.

import {
  advance,
  emptyAnswer,
  type Answer,
  type AnswerEvent,
  type ChatMessage,
  type Commit,
  type Draft,
  type GenerateOptions,
  type Started,
} from "@palimpsest/client";

/** What was asked: enough to ask it again. */
export interface Asked {
  messages: readonly ChatMessage[];
  options: Readonly<GenerateOptions>;
}

/** A draft and when it came, in milliseconds since the run was sent. */
export interface Frame {
  atMs: number;
  draft: Draft;
}

/** One canvas: the drafts that were seen, in order, and what it became. */
export interface CanvasRun {
  index: number;
  frames: readonly Frame[];
  /** Undefined while it is being written. */
  commit: Commit | undefined;
}

export interface RunError {
  code: string;
  message: string;
  /** What is wrong with which fields. */
  violations: readonly { field: string; description: string }[];
}

export type RunState = "running" | "finished" | "stopped" | "failed";

export interface Run {
  /** Unique on the page. */
  id: number;
  asked: Asked;
  /** When it was sent, as `Date.now()` has it. */
  sentAt: number;
  state: RunState;
  error: RunError | undefined;
  started: Started | undefined;
  canvases: readonly CanvasRun[];
  answer: Answer;
  /** Milliseconds since the run was sent, of the newest event. */
  elapsedMs: number;
}

export function newRun(id: number, asked: Asked, sentAt: number): Run {
  return {
    id,
    asked,
    sentAt,
    state: "running",
    error: undefined,
    started: undefined,
    canvases: [],
    answer: emptyAnswer(),
    elapsedMs: 0,
  };
}

/** The run after one more event, which came `atMs` after it was sent. */
export function withEvent(run: Run, event: AnswerEvent, atMs: number): Run {
  const next = { ...run, answer: advance(run.answer, event), elapsedMs: atMs };
  switch (event.kind) {
    case "started":
      return { ...next, started: event };
    case "draft":
      return { ...next, canvases: withDraft(run.canvases, event, atMs) };
    case "commit":
      return { ...next, canvases: withCommit(run.canvases, event) };
    case "completed":
      return { ...next, state: "finished" };
  }
}

/** The run, ended before its answer was whole: by the reader, or by an error. */
export function ended(run: Run, error?: RunError): Run {
  return { ...run, state: error ? "failed" : "stopped", error };
}

function withDraft(
  canvases: readonly CanvasRun[],
  draft: Draft,
  atMs: number,
): readonly CanvasRun[] {
  const frame = { atMs, draft };
  return changed(canvases, draft.canvasIndex, (canvas) => ({
    ...canvas,
    frames: [...canvas.frames, frame],
  }));
}

function withCommit(canvases: readonly CanvasRun[], commit: Commit): readonly CanvasRun[] {
  return changed(canvases, commit.canvasIndex, (canvas) => ({ ...canvas, commit }));
}

/** Canvases come in order; one of which nothing was seen yet is added. */
function changed(
  canvases: readonly CanvasRun[],
  index: number,
  change: (canvas: CanvasRun) => CanvasRun,
): readonly CanvasRun[] {
  const at = canvases.findIndex((canvas) => canvas.index === index);
  if (at < 0) return [...canvases, change({ index, frames: [], commit: undefined })];
  return canvases.map((canvas, i) => (i === at ? change(canvas) : canvas));
}
