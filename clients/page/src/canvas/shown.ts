// What a canvas shows at one of its stops. Pure.
//
// Its stops are the drafts that came. What it became is the last of them where the last step's draft
// came; often it does not, as the commit overtakes it, and then it is one stop more.

import type { Draft, DraftTokens, Span, StepFigures } from "@palimpsest/client";
import type { CanvasRun, Run } from "../run.ts";
import type { Place } from "./positions.ts";

export interface Shown {
  /** From 1. */
  step: number;
  /** Steps that the canvas took, or takes at most while it is written. */
  steps: number;
  settled: boolean;
  /** Undefined where the stream brought none. */
  tokens: DraftTokens | undefined;
  /** What to show where there are no tokens. */
  text: string;
  spans: readonly Span[];
  figures: StepFigures;
  /** Positions whose token differs from the stop before; all false at the first. */
  changed: readonly boolean[];
}

/** Stops of a canvas: at least one. */
export function stopsOf(canvas: CanvasRun): number {
  return canvas.frames.length + (endsWithoutDraft(canvas) ? 1 : 0);
}

export function shownAt(canvas: CanvasRun, stop: number): Shown {
  const frame = canvas.frames[stop];
  if (frame === undefined) return becomes(canvas);
  const { draft } = frame;
  const settled = draft.step === canvas.commit?.steps;
  const before = canvas.frames[stop - 1]?.draft.tokens;
  return {
    step: draft.step,
    steps: canvas.commit?.steps ?? draft.maxDenoisingSteps,
    settled,
    tokens: draft.tokens,
    text: draft.thought + draft.text,
    spans: draft.spans,
    figures: draft.figures,
    changed: changes(before, draft.tokens),
  };
}

/** Positions at which two drafts hold different tokens; none where one of them is not known. */
export function changes(
  before: DraftTokens | undefined,
  after: DraftTokens | undefined,
): readonly boolean[] {
  if (after === undefined) return [];
  return after.ids.map((id, i) => before !== undefined && before.ids[i] !== id);
}

/** Milliseconds from a place to the next one. */
export function gapMs(run: Run, from: Place, to: Place): number {
  const canvas = run.canvases[to.canvas];
  if (canvas === undefined) return 0;
  const before = run.canvases[from.canvas]?.frames[from.stop]?.atMs;
  const after = canvas.frames[to.stop]?.atMs;
  if (before !== undefined && after !== undefined) return Math.max(0, after - before);
  // Nobody noted when a commit came: it took about its last step, or its canvas.
  if (canvas.frames.length === 0) return canvas.commit?.denoiseMs ?? 0;
  return shownAt(canvas, to.stop).figures.stepMs;
}

function endsWithoutDraft({ frames, commit }: CanvasRun): boolean {
  return commit !== undefined && frames.at(-1)?.draft.step !== commit.steps;
}

/** What it became, where the draft of its last step is not known. */
function becomes(canvas: CanvasRun): Shown {
  const commit = canvas.commit!;
  const last = canvas.frames.at(-1)?.draft;
  const tokens = last && settledTokens(canvas, last);
  return {
    step: commit.steps,
    steps: commit.steps,
    settled: true,
    tokens,
    text: commit.thoughtDelta + commit.textDelta,
    spans: tokens ? (last?.spans ?? []) : [],
    figures: commit.figures,
    changed: changes(last?.tokens, tokens),
  };
}

/**
 * The last draft with the tokens that were committed instead. Undefined where they are so many that
 * the two are probably not aligned: what is left out of a template's gaps moves all behind it.
 */
function settledTokens(canvas: CanvasRun, { tokens }: Draft): DraftTokens | undefined {
  const committed = canvas.commit!.tokenIds;
  if (tokens === undefined) return undefined;
  const differing = [...committed.keys()].filter((i) => tokens.ids[i] !== committed[i]);
  if (differing.length > committed.length / 2) return undefined;
  const texts = [...tokens.texts];
  const ids = [...tokens.ids];
  const confidence = [...tokens.confidence];
  const entropy = [...tokens.entropy];
  for (const i of differing) {
    ids[i] = committed[i]!;
    if (texts.length > 0) texts[i] = textOf(canvas, ids[i]) ?? `#${ids[i]}`;
    if (confidence.length > 0) confidence[i] = NaN;
    if (entropy.length > 0) entropy[i] = NaN;
  }
  return { ids, texts, confidence, entropy, accepted: [] };
}

/** The text of a token, if one of the drafts has it somewhere. */
function textOf(canvas: CanvasRun, id: number): string | undefined {
  for (const { draft } of canvas.frames) {
    const at = draft.tokens?.ids.indexOf(id) ?? -1;
    if (at >= 0) return draft.tokens?.texts[at];
  }
  return undefined;
}
