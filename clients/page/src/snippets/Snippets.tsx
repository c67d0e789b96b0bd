import type { Asked } from "../run.ts";

/** The request as code that makes it, to be copied: Python, curl, TypeScript, Go. */
export function Snippets(_: { asked: Asked }) {
  return null;
}
