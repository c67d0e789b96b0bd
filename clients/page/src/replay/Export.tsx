import type { Run } from "../run.ts";

/** Buttons that save a run as JSON, and as a page of its own. */
export function Export(_: { run: Run }) {
  return null;
}
