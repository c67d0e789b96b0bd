// Runs for tests: recorded from a server with the bundled model, or made up.

import { readFileSync } from "node:fs";
import type { AnswerEvent, Commit, Draft, StepFigures } from "@palimpsest/client";
import { newRun, withEvent, type Asked, type CanvasRun, type Run } from "../../src/run.ts";

/** A run that was recorded: a line with what was asked, then one with each event and its time. */
export function recorded(name: "count" | "think"): Run {
  const file = new URL(`../fixtures/${name}.jsonl`, import.meta.url);
  const [asked, ...events] = readFileSync(file, "utf8").trim().split("\n");
  let run = newRun(1, JSON.parse(asked!) as Asked, 0);
  for (const line of events) {
    const [atMs, event] = JSON.parse(line) as [number, AnswerEvent];
    const whole = event.kind === "started" ? { ...event, seed: BigInt(event.seed) } : event;
    run = withEvent(run, whole, atMs);
  }
  return run;
}

export const FIGURES: StepFigures = {
  stepMs: 10,
  queueMs: undefined,
  deviceMs: undefined,
  batchSize: 1,
  temperature: 0.8,
  acceptedCount: 1,
  changedCount: 2,
  meanEntropy: 0.5,
};

/** A draft whose tokens are these ids; 0 has no text. */
export function draft(step: number, ids: number[], figures: Partial<StepFigures> = {}): Draft {
  return {
    kind: "draft",
    sequence: step,
    candidateIndex: 0,
    canvasIndex: 0,
    step,
    maxDenoisingSteps: 48,
    figures: { ...FIGURES, ...figures },
    text: "",
    thought: "",
    spans: [],
    tokens: {
      ids,
      texts: ids.map((id) => (id === 0 ? "" : `t${id}`)),
      confidence: ids.map(() => 0.5),
      accepted: ids.map(() => false),
      entropy: [],
    },
  };
}

export function commit(steps: number, tokenIds: number[], given: Partial<Commit> = {}): Commit {
  return {
    kind: "commit",
    sequence: 0,
    candidateIndex: 0,
    canvasIndex: 0,
    steps,
    converged: true,
    tokenIds,
    textDelta: "settled text",
    thoughtDelta: "",
    toolCalls: [],
    logprobs: [],
    denoiseMs: 100,
    figures: FIGURES,
    ...given,
  };
}

/** A canvas of drafts that came 10 ms apart. */
export function canvas(drafts: Draft[], settled?: Commit, index = 0): CanvasRun {
  return {
    index,
    frames: drafts.map((each, i) => ({ atMs: i * 10, draft: each })),
    commit: settled,
  };
}

export function runOf(canvases: CanvasRun[], options: Asked["options"] = {}): Run {
  const asked = { messages: [{ role: "user" as const, content: "hello" }], options };
  return { ...newRun(1, asked, 0), canvases };
}
