import { describe, expect, it } from "vitest";
import { changes, gapMs, shownAt, stopsOf } from "../../src/canvas/shown.ts";
import { placeText, stateText } from "../../src/canvas/words.ts";
import { canvas, commit, draft, recorded, runOf } from "./recorded.ts";

describe("what a canvas shows", () => {
  it("is a draft, and which positions changed since the one before", () => {
    const shown = shownAt(canvas([draft(1, [7, 8, 9]), draft(2, [7, 5, 9])]), 1);
    expect(shown.changed).toEqual([false, true, false]);
    expect(shown).toMatchObject({ step: 2, steps: 48, settled: false });
  });

  it("changed nowhere at its first draft, as there is nothing to compare it to", () => {
    expect(shownAt(canvas([draft(1, [7, 8])]), 0).changed).toEqual([false, false]);
    expect(changes(draft(1, [7]).tokens, undefined)).toEqual([]);
  });

  it("is settled at its last draft if that is of the last step", () => {
    const settled = canvas([draft(1, [7]), draft(2, [8])], commit(2, [8]));
    expect(stopsOf(settled)).toBe(2);
    expect(shownAt(settled, 0)).toMatchObject({ step: 1, steps: 2, settled: false });
    expect(shownAt(settled, 1)).toMatchObject({ step: 2, settled: true });
  });

  it("is one stop more where the commit came instead of the last draft", () => {
    const settled = canvas([draft(1, [7, 7, 8, 0]), draft(2, [7, 9, 7, 0])], commit(3, [7, 8, 7]));
    expect(stopsOf(settled)).toBe(3);
    const { tokens, changed, step } = shownAt(settled, 2);
    expect(step).toBe(3);
    expect(tokens?.ids).toEqual([7, 8, 7, 0]);
    expect(tokens?.texts).toEqual(["t7", "t8", "t7", ""]);
    expect(tokens?.confidence).toEqual([0.5, NaN, 0.5, 0.5]);
    expect(changed).toEqual([false, true, false, false]);
  });

  it("names a committed token by its id if no draft has its text", () => {
    const settled = canvas([draft(1, [7, 7, 7])], commit(2, [7, 99, 7]));
    expect(shownAt(settled, 1).tokens?.texts).toEqual(["t7", "#99", "t7"]);
  });

  it("is the text if too little of the last draft is left, or none came", () => {
    const moved = canvas([draft(1, [1, 2, 3, 4])], commit(9, [5, 6, 7, 4]));
    expect(shownAt(moved, 1)).toMatchObject({ tokens: undefined, text: "settled text" });
    expect(shownAt(canvas([], commit(3, [7])), 0).text).toBe("settled text");
  });

  it("is found of a run that a server wrote", () => {
    const run = recorded("count");
    expect(run.canvases.map(stopsOf)).toEqual([2, 3]);
    const last = shownAt(run.canvases[1]!, 2);
    const written = last.tokens!.texts.join("");
    expect(last.settled).toBe(true);
    expect(written).toBe(run.canvases[1]!.commit!.textDelta);
    expect(placeText(1, last)).toBe("canvas 2, step 3 of 3");
    expect(stateText(run)).toBe("finished with 2 canvases");
  });
});

describe("the time between two stops", () => {
  const run = runOf([
    canvas([draft(1, [7]), draft(2, [7])], commit(3, [7])),
    canvas([], commit(2, [7]), 1),
  ]);

  it("is that between their drafts", () => {
    expect(gapMs(run, { canvas: 0, stop: 0 }, { canvas: 0, stop: 1 })).toBe(10);
  });

  it("is about its last step, or its canvas, where only the commit came", () => {
    expect(gapMs(run, { canvas: 0, stop: 1 }, { canvas: 0, stop: 2 })).toBe(10);
    expect(gapMs(run, { canvas: 0, stop: 2 }, { canvas: 1, stop: 0 })).toBe(100);
  });
});
