// From a finished answer and a selection in it to the request that writes the selection anew.
//
// Plain text becomes a template: its gap starts from noise, may be longer or shorter than what was
// there, and is padded where less is needed. A template cannot say thoughts and calls; of such an
// answer the tokens are pinned in their places, and the selection starts from what it was.

import type { Canvas } from "@palimpsest/client";
import type { Asked, Run } from "../run.ts";

/** A token of the answer. */
export interface Token {
  id: number;
  /** Empty for special tokens; undefined where no draft showed it. */
  text: string | undefined;
}

/** What one canvas holds of the answer. */
export interface WrittenCanvas {
  index: number;
  /** Position of its first token in the answer. */
  start: number;
  tokens: readonly Token[];
}

/** Which tokens of a canvas to write anew. */
export interface Gap {
  canvas: WrittenCanvas;
  /** First token, counted in the canvas. */
  start: number;
  /** The one after the last. */
  end: number;
  /** Tokens of the gap; as many as are selected, unless the answer is plain text. */
  length: number;
}

export function writtenCanvases(run: Run): WrittenCanvas[] {
  const texts = textsById(run);
  let start = 0;
  return run.canvases.flatMap(({ index, commit }) => {
    if (commit === undefined || commit.tokenIds.length === 0) return [];
    const tokens = commit.tokenIds.map((id) => ({ id, text: texts.get(id) }));
    start += tokens.length;
    return [{ index, start: start - tokens.length, tokens }];
  });
}

/** Whether the answer is text that its tokens spell, one by one. */
export function isPlain(run: Run, canvases: readonly WrittenCanvas[]): boolean {
  const { answer } = run;
  const spelt = canvases.flatMap(({ tokens }) => tokens.map(({ text }) => text));
  return (
    answer.thought === "" &&
    answer.toolCalls.length === 0 &&
    spelt.every((text) => text) &&
    spelt.join("") === answer.text
  );
}

export function rewritten(
  run: Run,
  canvases: readonly WrittenCanvas[],
  gap: Gap,
  seed: bigint,
): Asked {
  const { messages, options } = run.asked;
  const { canvasLength, readOnly } = options.canvas ?? {};
  const plain = isPlain(run, canvases);
  const canvas = plain ? template(canvases, gap) : pinned(canvases, gap);
  return {
    messages,
    options: {
      ...options,
      seed,
      canvas: { ...canvas, canvasLength, readOnly },
      maxOutputTokens: plain ? undefined : lengthOf(canvases),
      candidateCount: undefined,
      // Neither goes with pinned tokens; the stops were found already.
      responseFormat: undefined,
      stopSequences: undefined,
      requestId: undefined,
      signal: undefined,
    },
  };
}

function template(canvases: readonly WrittenCanvas[], gap: Gap): Canvas {
  const [first, last] = [gap.canvas.start + gap.start, gap.canvas.start + gap.end];
  const texts = canvases.flatMap(({ tokens }) => tokens.map(({ text }) => text ?? ""));
  const spans = [texts.slice(0, first).join(""), gap.length, texts.slice(last).join("")];
  return { template: spans.filter((span) => span !== "") };
}

function pinned(canvases: readonly WrittenCanvas[], gap: Gap): Canvas {
  const [first, last] = [gap.canvas.start + gap.start, gap.canvas.start + gap.end];
  const ids = canvases.flatMap(({ tokens }) => tokens.map(({ id }) => id));
  const positions = ids.map((_, position) => position);
  return {
    startingTokenIds: ids,
    pinnedPositions: positions.filter((position) => position < first || position >= last),
  };
}

function lengthOf(canvases: readonly WrittenCanvas[]): number {
  return canvases.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

function textsById(run: Run): Map<number, string> {
  const texts = new Map<number, string>();
  for (const { frames } of run.canvases) {
    for (const { draft } of frames) {
      draft.tokens?.texts.forEach((text, i) => texts.set(draft.tokens!.ids[i]!, text));
    }
  }
  return texts;
}
