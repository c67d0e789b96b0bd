import { expect, test } from "vitest";
import type { Commit, Draft } from "@palimpsest/client";
import { isPlain, rewritten, writtenCanvases } from "../src/infill/rewrite.ts";
import { moved, range, touched } from "../src/infill/selection.ts";
import { newRun, type Run } from "../src/run.ts";

const WORDS = ["", "one ", "two ", "three ", "four ", "five "];

/** An answer of two canvases, each of three tokens that the drafts have shown. */
function answered(thought = ""): Run {
  const asked = {
    messages: [{ role: "user" as const, content: "count" }],
    options: {
      seed: 7,
      temperature: 0.5,
      maxOutputTokens: 6,
      candidateCount: 2,
      responseFormat: { regex: ".*" },
      canvas: { canvasLength: 3, template: "[[3]]" },
    },
  };
  const run = newRun(1, asked, 0);
  const canvases = [
    [1, 2, 3],
    [4, 5, 1],
  ].map((ids, index) => ({
    index,
    frames: [
      {
        atMs: 1,
        draft: { tokens: { ids, texts: ids.map((id) => WORDS[id]) } } as unknown as Draft,
      },
    ],
    commit: { tokenIds: ids } as unknown as Commit,
  }));
  const text = "one two three four five one ";
  return { ...run, state: "finished", canvases, answer: { ...run.answer, text, thought } };
}

function rewrittenOf(run: Run, start: number, end: number, length = end - start) {
  const canvases = writtenCanvases(run);
  return rewritten(run, canvases, { canvas: canvases[1]!, start, end, length }, 9n);
}

test("the tokens of a canvas have their texts and their places in the answer", () => {
  const [, second] = writtenCanvases(answered());
  expect(second).toEqual({
    index: 1,
    start: 3,
    tokens: [
      { id: 4, text: "four " },
      { id: 5, text: "five " },
      { id: 1, text: "one " },
    ],
  });
});

test("a gap in plain text is asked for between the texts around it, of any length", () => {
  const { options } = rewrittenOf(answered(), 1, 2, 5);
  expect(options.canvas).toEqual({
    template: ["one two three four ", 5, "one "],
    canvasLength: 3,
  });
  expect(options.maxOutputTokens).toBeUndefined();
});

test("a gap at the end has no text after it", () => {
  const { options } = rewrittenOf(answered(), 1, 3);
  expect(options.canvas?.template).toEqual(["one two three four ", 2]);
});

test("the settings stay but for the seed and what does not go with a gap", () => {
  const { options } = rewrittenOf(answered(), 0, 1);
  expect(options).toMatchObject({ seed: 9n, temperature: 0.5 });
  expect(options.responseFormat).toBeUndefined();
  expect(options.candidateCount).toBeUndefined();
});

test("around a thought all other tokens are pinned where they are", () => {
  const { options } = rewrittenOf(answered("hm"), 1, 2);
  expect(options.canvas).toEqual({
    startingTokenIds: [1, 2, 3, 4, 5, 1],
    pinnedPositions: [0, 1, 2, 3, 5],
    canvasLength: 3,
  });
  expect(options.maxOutputTokens).toBe(6);
});

test("an answer whose tokens no draft showed is not taken for plain text", () => {
  const run = answered();
  const unseen = { ...run, canvases: run.canvases.map((canvas) => ({ ...canvas, frames: [] })) };
  expect(isPlain(run, writtenCanvases(run))).toBe(true);
  expect(isPlain(unseen, writtenCanvases(unseen))).toBe(false);
});

test("arrow keys move a selection, and with Shift extend it, as far as there are tokens", () => {
  expect(moved(undefined, "ArrowRight", false, 3)).toEqual({ anchor: 0, focus: 0 });
  expect(moved({ anchor: 0, focus: 0 }, "ArrowRight", true, 3)).toEqual({ anchor: 0, focus: 1 });
  expect(moved({ anchor: 0, focus: 1 }, "ArrowRight", false, 3)).toEqual({ anchor: 2, focus: 2 });
  expect(moved({ anchor: 2, focus: 2 }, "ArrowRight", true, 3)).toEqual({ anchor: 2, focus: 2 });
  expect(moved({ anchor: 2, focus: 2 }, "Home", true, 3)).toEqual({ anchor: 2, focus: 0 });
  expect(moved({ anchor: 2, focus: 0 }, "a", false, 3)).toBeUndefined();
});

test("a selection counts both its ends, whichever is first", () => {
  expect(range({ anchor: 2, focus: 0 })).toEqual([0, 3]);
});

test("a second touch extends the first, a third begins anew", () => {
  const first = touched(undefined, 4);
  const second = touched(first, 1);
  expect(range(second)).toEqual([1, 5]);
  expect(touched(second, 3)).toEqual({ anchor: 3, focus: 3 });
});
