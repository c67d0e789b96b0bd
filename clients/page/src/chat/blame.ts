// Which setting the server means by the path of a field.

import type { FieldViolation } from "@palimpsest/client";
import type { FieldName, Problems } from "./settings.ts";

const PATHS: readonly (readonly [string, FieldName])[] = [
  ["prompt.chat.tools", "tools"],
  ["prompt.chat.enable_thinking", "thinking"],
  ["sampling.thinking_budget", "thinkingBudget"],
  ["sampling.effort", "effort"],
  ["sampling.seed", "seed"],
  ["sampling.max_output_tokens", "maxOutputTokens"],
  ["sampling.max_denoising_steps", "maxDenoisingSteps"],
  ["sampling.temperature", "temperature"],
  ["sampling.top_p", "topP"],
  ["sampling.top_k", "topK"],
  ["sampling.min_p", "minP"],
  ["sampling.stop_sequences", "stopSequences"],
  ["sampling.response_format", "formatText"],
];

/** Undefined for what is no setting, such as a message. */
export function fieldAt(path: string): FieldName | undefined {
  const inner = path.replace(/^input\./, "");
  const found = PATHS.find(
    ([known]) => inner === known || inner.startsWith(`${known}.`) || inner.startsWith(`${known}[`),
  );
  return found?.[1];
}

/** What is wrong with which settings, in the server's words. */
export function blamed(violations: readonly FieldViolation[]): Problems {
  const problems: Partial<Record<FieldName, string>> = {};
  for (const { field, description } of violations) {
    const name = fieldAt(field);
    if (name !== undefined) problems[name] = description;
  }
  return problems;
}
