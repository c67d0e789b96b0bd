// Speeds as the rows of a table: name, unit, and one text per column. Pure.

import type { Speeds } from "./speeds.ts";

export interface SpeedRow {
  name: string;
  /** What it means, in a sentence. */
  meaning: string;
  values: readonly string[];
}

const UNKNOWN = "–";

/** One row per name; `columns` are the speeds of a canvas, of a run, or of two. */
export function speedRows(columns: readonly Speeds[]): SpeedRow[] {
  const row = (name: string, meaning: string, text: (speeds: Speeds) => string): SpeedRow => ({
    name,
    meaning,
    values: columns.map(text),
  });
  return [
    row("output tokens/s", "Tokens of the answer per second.", (s) =>
      rate(s.outputTokensPerSecond),
    ),
    row("effective tokens/s", "Tokens of the canvas, padding included, per second.", (s) =>
      rate(s.effectiveTokensPerSecond),
    ),
    row("steps per canvas", "Denoising steps that a canvas took.", (s) => rate(s.stepsPerCanvas)),
    row("tokens per forward", "Tokens of the answer per denoising step.", (s) =>
      rate(s.tokensPerForward),
    ),
    row("step mean", "Mean time of the steps that were seen.", (s) => milliseconds(s.stepMsMean)),
    row("step worst", "The slowest step that was seen.", (s) => milliseconds(s.stepMsWorst)),
    row("first draft", "From acceptance to the end of the first step.", (s) =>
      milliseconds(s.timeToFirstDraftMs),
    ),
    row("first commit", "From acceptance to the first settled canvas.", (s) =>
      milliseconds(s.timeToFirstCommitMs),
    ),
    row(
      "converged",
      "Canvases that met the stop rule; the step limit ended the others.",
      convergence,
    ),
    row("prompt cached", "Tokens of the prompt that were in the cache, of all.", cached),
  ];
}

/** Three significant digits, and no more than needed. */
export function rate(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

export function milliseconds(value: number | undefined): string {
  if (value === undefined) return UNKNOWN;
  return value >= 10_000 ? `${rate(value / 1e3)} s` : `${rate(value)} ms`;
}

function convergence({ converged, settled }: Speeds): string {
  if (settled === 0) return UNKNOWN;
  if (settled === 1) return converged ? "yes" : "step limit";
  return `${converged} of ${settled}`;
}

function cached({ cachedPromptTokens, promptTokens }: Speeds): string {
  return promptTokens === undefined ? UNKNOWN : `${cachedPromptTokens} of ${promptTokens}`;
}
