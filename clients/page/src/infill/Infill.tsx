import type { Asked, Run } from "../run.ts";

/** A finished answer of which parts can be selected; `onRewrite` is given what asks to rewrite them. */
export function Infill(_: { run: Run; onRewrite: (asked: Asked) => void }) {
  return null;
}
