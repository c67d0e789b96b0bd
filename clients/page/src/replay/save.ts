// Saving a text as a file, by the browser's own download.

import type { Run } from "../run.ts";

/** Named after the request, as the server's log names it. */
export function fileName(run: Run, extension: string): string {
  const name = run.answer.requestId || `run-${run.id}`;
  return `palimpsest-${name.replace(/[^\w.-]+/g, "_")}.${extension}`;
}

export function save(name: string, text: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The browser has opened the blob by the time that its next task begins.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
