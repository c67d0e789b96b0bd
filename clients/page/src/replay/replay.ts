// The run that a page was saved with.

import type { Run } from "../run.ts";
import { runFromJson } from "./json.ts";

/** Undefined for a page of a server. Throws for a run that cannot be read. */
export function readReplay(document: Document): Run | undefined {
  const json = document.getElementById("replay")?.textContent;
  return json ? runFromJson(json) : undefined;
}
