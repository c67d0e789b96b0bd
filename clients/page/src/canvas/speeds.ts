// How fast a run was, by name: one canvas, and all of them. Pure; what is not known is undefined.

import type { CanvasRun, Run } from "../run.ts";

export interface Speeds {
  outputTokensPerSecond?: number;
  effectiveTokensPerSecond?: number;
  stepsPerCanvas?: number;
  tokensPerForward?: number;
  timeToFirstDraftMs?: number;
  timeToFirstCommitMs?: number;
  /** Of the steps that were seen. */
  stepMsMean?: number;
  stepMsWorst?: number;
  /** Canvases that met the stop rule, and those that are settled. */
  converged: number;
  settled: number;
  promptTokens?: number;
  cachedPromptTokens?: number;
}

/** What is added up over canvases. */
interface Sums {
  outputTokens: number;
  steps: number;
  denoiseMs: number;
  settled: number;
  converged: number;
  seen: number;
  seenMs: number;
  worstMs: number;
}

/** A canvas is a value that never changes, so its sums are made once. */
const known = new WeakMap<CanvasRun, Sums>();

export function canvasSpeeds(canvas: CanvasRun, canvasLength: number): Speeds {
  return rates(sumsOf(canvas), sumsOf(canvas).denoiseMs, canvasLength);
}

/** Of the whole run: as the server measured it, or as far as it is. */
export function runSpeeds(run: Run): Speeds {
  const { started, answer } = run;
  const sums = run.canvases.map(sumsOf).reduce(added, NONE);
  const wallMs = (started?.queueMs ?? 0) + (started?.prefillMs ?? 0) + sums.denoiseMs;
  return {
    ...rates(sums, wallMs, started?.canvasLength ?? 0),
    timeToFirstDraftMs: run.canvases[0]?.frames[0]?.atMs,
    ...answer.speeds,
    promptTokens: started?.promptTokens,
    cachedPromptTokens: started?.cachedPromptTokens,
  };
}

function rates(sums: Sums, wallMs: number, canvasLength: number): Speeds {
  const { settled, converged, seen } = sums;
  const steps = seen > 0 ? { stepMsMean: sums.seenMs / seen, stepMsWorst: sums.worstMs } : {};
  if (settled === 0) return { settled, converged, ...steps };
  return {
    settled,
    converged,
    ...steps,
    outputTokensPerSecond: (sums.outputTokens / wallMs) * 1e3,
    effectiveTokensPerSecond: ((settled * canvasLength) / wallMs) * 1e3,
    stepsPerCanvas: sums.steps / settled,
    tokensPerForward: sums.outputTokens / sums.steps,
  };
}

const NONE: Sums = {
  outputTokens: 0,
  steps: 0,
  denoiseMs: 0,
  settled: 0,
  converged: 0,
  seen: 0,
  seenMs: 0,
  worstMs: 0,
};

function sumsOf(canvas: CanvasRun): Sums {
  const before = known.get(canvas);
  if (before) return before;
  const { commit, frames } = canvas;
  const stepMs = frames.map(({ draft }) => draft.figures.stepMs);
  if (commit && frames.at(-1)?.draft.step !== commit.steps) stepMs.push(commit.figures.stepMs);
  const sums = {
    outputTokens: commit?.tokenIds.length ?? 0,
    steps: commit?.steps ?? 0,
    denoiseMs: commit?.denoiseMs ?? 0,
    settled: commit ? 1 : 0,
    converged: commit?.converged ? 1 : 0,
    seen: stepMs.length,
    seenMs: stepMs.reduce((sum, ms) => sum + ms, 0),
    worstMs: Math.max(0, ...stepMs),
  };
  known.set(canvas, sums);
  return sums;
}

function added(a: Sums, b: Sums): Sums {
  return {
    outputTokens: a.outputTokens + b.outputTokens,
    steps: a.steps + b.steps,
    denoiseMs: a.denoiseMs + b.denoiseMs,
    settled: a.settled + b.settled,
    converged: a.converged + b.converged,
    seen: a.seen + b.seen,
    seenMs: a.seenMs + b.seenMs,
    worstMs: Math.max(a.worstMs, b.worstMs),
  };
}
