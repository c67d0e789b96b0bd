// A canvas as a small heat map: one path for each level, so that a thousand canvases stay cheap.

import { LEVELS, levelOf } from "./ramp.ts";

/** Columns of a map of so many positions: about four times as many as rows. */
export function columnsFor(count: number): number {
  return Math.max(1, 2 ** Math.round(Math.log2(Math.sqrt(count * 4))));
}

/**
 * Path data of each level, in units of one position; empty where no position has that level.
 * Neighbours in a row are drawn as one.
 */
export function heatPaths(confidence: readonly number[], columns: number): readonly string[] {
  const paths = new Array<string>(LEVELS).fill("");
  for (let start = 0; start < confidence.length;) {
    const level = levelOf(confidence[start]);
    const rowEnd = Math.min(confidence.length, (Math.floor(start / columns) + 1) * columns);
    let end = start + 1;
    while (end < rowEnd && levelOf(confidence[end]) === level) end += 1;
    const [x, y, width] = [start % columns, Math.floor(start / columns), end - start];
    if (level !== undefined) paths[level] += `M${x} ${y}h${width}v1h-${width}z`;
    start = end;
  }
  return paths;
}

/** The items of a row that can be seen, and some beside them: from `first` to before `end`. */
export function windowOf(
  scrolled: number,
  width: number,
  itemWidth: number,
  count: number,
): { first: number; end: number } {
  const beside = 4;
  const first = Math.max(0, Math.floor(scrolled / itemWidth) - beside);
  const end = Math.min(count, Math.ceil((scrolled + width) / itemWidth) + beside);
  return { first: Math.min(first, count), end };
}
