// The figures of a canvas's steps, as the charts show them. Pure.

import type { CanvasRun } from "../run.ts";
import type { Series } from "./chart.ts";
import { shownAt, stopsOf } from "./shown.ts";

export interface Figures {
  steps: readonly number[];
  charts: readonly FigureChart[];
}

export interface FigureChart {
  name: string;
  unit: string;
  /** The first is what the chart is about; the others are parts of it. */
  series: readonly { name: string; values: Series }[];
}

export function figuresOf(canvas: CanvasRun): Figures {
  const shown = Array.from({ length: stopsOf(canvas) }, (_, stop) => shownAt(canvas, stop));
  const values = <T>(get: (figures: (typeof shown)[number]["figures"]) => T) =>
    shown.map(({ figures }) => get(figures));
  const one = (name: string, unit: string, series: Series) => ({
    name,
    unit,
    series: [{ name, values: series }],
  });
  const latency = [
    { name: "step", values: values((f) => f.stepMs) },
    { name: "queue", values: values((f) => f.queueMs) },
    { name: "device", values: values((f) => f.deviceMs) },
  ];
  return {
    steps: shown.map(({ step }) => step),
    charts: [
      one(
        "mean entropy",
        "nats",
        values((f) => f.meanEntropy),
      ),
      one(
        "accepted",
        "positions",
        values((f) => f.acceptedCount),
      ),
      one(
        "changed",
        "positions",
        values((f) => f.changedCount),
      ),
      {
        name: "step time",
        unit: "ms",
        series: latency.filter(
          ({ name, values }) => name === "step" || values.some((value) => value !== undefined),
        ),
      },
    ],
  };
}
