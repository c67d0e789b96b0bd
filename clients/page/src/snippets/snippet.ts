// A request as code that makes it. The answer is the same if the request has a seed.

import type { Asked } from "../run.ts";
import { curl } from "./curl.ts";
import { go } from "./go.ts";
import { python } from "./python.ts";
import { typescript } from "./typescript.ts";

export const LANGUAGES = { python: "Python", curl: "curl", typescript: "TypeScript", go: "Go" };
export type Language = keyof typeof LANGUAGES;

const WRITERS = { python, curl, typescript, go };

/** `baseUrl` is that of the HTTP port. Throws `PalimpsestError` for what no request can hold. */
export function snippet(language: Language, asked: Asked, baseUrl: string): string {
  return WRITERS[language](asked, baseUrl);
}
