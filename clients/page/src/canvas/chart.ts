// Lines over the steps of a canvas, as path data. Pure.

export interface Size {
  width: number;
  height: number;
}

export interface Chart {
  /** Top of the scale, at least the largest value. */
  top: number;
  /** Where each step is. */
  xs: readonly number[];
  /** Path data of each series. */
  paths: readonly string[];
  /** Height of a value. */
  y: (value: number) => number;
}

/** A value that was not measured is undefined, and the line has a gap there. */
export type Series = readonly (number | undefined)[];

/** `steps` ascend; room is kept so that lines do not touch the edges. */
export function chartOf(steps: readonly number[], series: readonly Series[], size: Size): Chart {
  const pad = 3;
  const known = series.flat().filter((value) => value !== undefined);
  const top = niceTop(Math.max(0, ...known));
  const first = steps[0] ?? 1;
  const span = Math.max(1, (steps.at(-1) ?? 1) - first);
  const xs = steps.map((step) => rounded(pad + ((size.width - 2 * pad) * (step - first)) / span));
  const y = (value: number) => rounded(size.height - pad - ((size.height - 2 * pad) * value) / top);
  return { top, xs, y, paths: series.map((values) => pathOf(xs, values, y)) };
}

/** The index of the value nearest to `x`; `xs` ascend and are not empty. */
export function nearest(xs: readonly number[], x: number): number {
  let best = 0;
  xs.forEach((candidate, i) => {
    if (Math.abs(candidate - x) < Math.abs(xs[best]! - x)) best = i;
  });
  return best;
}

/** The smallest round number that is not below a value; 1 for 0. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.5, 2, 3, 4, 5, 6, 8].find((each) => each * power >= value) ?? 10;
  return Number((factor * power).toPrecision(2));
}

/** A line through what is known; what stands alone is a dot, by a round line cap. */
function pathOf(xs: readonly number[], values: Series, y: (value: number) => number): string {
  let path = "";
  let drawing = false;
  values.forEach((value, i) => {
    if (value === undefined) {
      drawing = false;
      return;
    }
    path += `${drawing ? "L" : "M"}${xs[i]} ${y(value)}`;
    if (!drawing && values[i + 1] === undefined) path += "h0";
    drawing = true;
  });
  return path;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
