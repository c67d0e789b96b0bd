// Two runs beside each other, canvas by canvas and step by step. Pure.

import type { DraftTokens } from "@palimpsest/client";
import type { CanvasRun, Run } from "../run.ts";
import { stopsOf } from "./shown.ts";

type Pair = readonly [Run, Run];

/** Steps of each canvas: of the run that took more. A step is a stop of the slider. */
export function pairedLengths([a, b]: Pair): number[] {
  const count = Math.max(a.canvases.length, b.canvases.length);
  return Array.from({ length: count }, (_, i) =>
    Math.max(lastStep(a.canvases[i]), lastStep(b.canvases[i])),
  );
}

/** The stop of a canvas that shows it after `step`: the newest that is not later. */
export function stopAfter(canvas: CanvasRun, step: number): number {
  if (canvas.commit && step >= canvas.commit.steps) return stopsOf(canvas) - 1;
  const later = canvas.frames.findIndex(({ draft }) => draft.step > step);
  return Math.max(0, (later < 0 ? canvas.frames.length : later) - 1);
}

/** Positions at which two drafts differ; those that only one has do. */
export function differences(
  a: DraftTokens | undefined,
  b: DraftTokens | undefined,
): readonly boolean[] {
  if (a === undefined || b === undefined) return [];
  const count = Math.max(a.ids.length, b.ids.length);
  return Array.from({ length: count }, (_, i) => a.ids[i] !== b.ids[i]);
}

export interface Difference {
  name: string;
  values: readonly [string, string];
}

/** What only says how a call is made, not what is asked. */
const BESIDE = new Set(["signal", "timeoutMs", "headers", "requestId", "drafts"]);

/** What differs between two requests: seeds as they were used, all else as it was asked. */
export function settingsThatDiffer([a, b]: Pair): Difference[] {
  const names = [...Object.keys(a.asked.options), ...Object.keys(b.asked.options)];
  const rows = new Map<string, [string, string]>();
  rows.set("prompt", promptsOf(a, b));
  if (a.started && b.started) rows.set("model", [a.started.model, b.started.model]);
  rows.set("seed", [seedOf(a), seedOf(b)]);
  for (const name of names) {
    if (BESIDE.has(name) || name === "seed") continue;
    rows.set(name, [optionOf(a, name), optionOf(b, name)]);
  }
  return [...rows]
    .filter(([, [left, right]]) => left !== right)
    .map(([name, values]) => ({ name, values }));
}

/** The newest messages, or all where those are the same or not plain text. */
function promptsOf(a: Run, b: Run): [string, string] {
  const [left, right] = [a, b].map(({ asked }) => asked.messages.at(-1)?.content);
  const plain = typeof left === "string" && typeof right === "string" && left !== right;
  return plain ? [left, right] : [written(a.asked.messages), written(b.asked.messages)];
}

function seedOf({ answer, asked }: Run): string {
  return written(answer.seed ?? asked.options.seed);
}

function optionOf(run: Run, name: string): string {
  return written((run.asked.options as Record<string, unknown>)[name]);
}

function written(value: unknown): string {
  if (value === undefined) return "default";
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "bigint" ? String(each) : each,
  ).replaceAll(/^"|"$/g, "");
}

function lastStep(canvas: CanvasRun | undefined): number {
  return canvas?.commit?.steps ?? canvas?.frames.at(-1)?.draft.step ?? 0;
}
