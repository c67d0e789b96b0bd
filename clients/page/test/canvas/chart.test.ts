import { describe, expect, it } from "vitest";
import { chartOf, nearest, niceTop } from "../../src/canvas/chart.ts";
import { figuresOf } from "../../src/canvas/figures.ts";
import { columnsFor, heatPaths, windowOf } from "../../src/canvas/mini.ts";
import { canvas, commit, draft, recorded } from "./recorded.ts";

const SIZE = { width: 106, height: 56 };

describe("a chart", () => {
  it("draws a line through its values, the top of the scale above them", () => {
    const chart = chartOf([1, 2, 3], [[10, 5, 0]], SIZE);
    expect(chart.paths).toEqual(["M3 3L53 28L103 53"]);
    expect(chart.top).toBe(10);
  });

  it("puts steps where they are, also if some between were not seen", () => {
    expect(chartOf([1, 2, 5], [[1, 1, 1]], SIZE).xs).toEqual([3, 28, 103]);
  });

  it("has a gap where a value was not measured, and a dot for one that stands alone", () => {
    expect(chartOf([1, 2, 3], [[1, undefined, 1]], SIZE).paths).toEqual(["M3 3h0M103 3h0"]);
    expect(chartOf([1], [[0]], SIZE).paths).toEqual(["M3 53h0"]);
  });

  it("has a round top", () => {
    expect([0, 0.08, 0.13, 64, 256, 1000].map(niceTop)).toEqual([1, 0.08, 0.15, 80, 300, 1000]);
  });

  it("finds the step nearest to a pointer", () => {
    expect(nearest([3, 28, 103], 70)).toBe(2);
    expect(nearest([3, 28, 103], -9)).toBe(0);
  });
});

describe("the figures of a canvas", () => {
  it("are those of all stops, the commit's last step included", () => {
    const { steps, charts } = figuresOf(recorded("think").canvases[0]!);
    expect(steps).toEqual([1, 2, 3, 4, 5]);
    const entropy = charts[0]!.series[0]!.values;
    expect(entropy[0]).toBeCloseTo(0.0807);
    expect(entropy).toHaveLength(5);
  });

  it("show queue and device where they are known, and only there", () => {
    const names = (queueMs?: number) =>
      figuresOf(canvas([draft(1, [7], { queueMs })], commit(1, [7])))
        .charts.at(-1)!
        .series.map(({ name }) => name);
    expect(names()).toEqual(["step"]);
    expect(names(2)).toEqual(["step", "queue"]);
  });
});

describe("a small canvas", () => {
  it("is about four times as wide as high", () => {
    expect([0, 1, 64, 256].map(columnsFor)).toEqual([1, 2, 16, 32]);
  });

  it("draws neighbours of one level as one, and leaves out what is not known", () => {
    const paths = heatPaths([1, 1, 0, NaN, 1, 1, 1, 1], 4);
    expect(paths[15]).toBe("M0 0h2v1h-2zM0 1h4v1h-4z");
    expect(paths[0]).toBe("M2 0h1v1h-1z");
  });

  it("is drawn only where it can be seen", () => {
    expect(windowOf(0, 600, 60, 1000)).toEqual({ first: 0, end: 14 });
    expect(windowOf(30_000, 600, 60, 1000)).toEqual({ first: 496, end: 514 });
    expect(windowOf(0, 600, 60, 3)).toEqual({ first: 0, end: 3 });
  });
});
