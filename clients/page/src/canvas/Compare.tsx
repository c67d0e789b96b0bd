import type { Run } from "../run.ts";

/** Two runs of the same prompt beside each other, on one slider. */
export function Compare(_: { runs: readonly [Run, Run] }) {
  return null;
}
