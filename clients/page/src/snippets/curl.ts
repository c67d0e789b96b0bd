import type { Asked } from "../run.ts";
import { body, endpoint } from "./asking.ts";

/** The shell reads the body as it is, and no line of JSON is the word that ends it. */
export function curl(asked: Asked, baseUrl: string): string {
  return [
    `curl -sS '${endpoint(baseUrl)}' \\`,
    "  -H 'content-type: application/json' --data-binary @- <<'JSON'",
    body(asked, baseUrl),
    "JSON",
    "",
  ].join("\n");
}
