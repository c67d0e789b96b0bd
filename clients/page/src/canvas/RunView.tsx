import type { Run } from "../run.ts";

/** One run, step by step: canvases, charts, speeds. */
export function RunView(_: { run: Run }) {
  return null;
}
