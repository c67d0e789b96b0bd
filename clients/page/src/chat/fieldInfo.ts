// What is said about the settings. Bounds are those of the contract, for people: the server checks.

import type { Model } from "@palimpsest/client";
import type { FieldName } from "./settings.ts";

export interface FieldInfo {
  label: string;
  hint: string;
  /** The values that it can have; left out where it is typed. */
  choices?: readonly (readonly [value: string, label: string])[];
  /** Whether it takes several lines. */
  isLong?: boolean;
}

const OWN = ["", "server’s default"] as const;

export const INFO: Readonly<Record<FieldName, FieldInfo>> = {
  system: { label: "system", hint: "Comes before all messages.", isLong: true },
  thinking: {
    label: "thinking",
    hint: "A thought is written before the answer.",
    choices: [OWN, ["on", "on"], ["off", "off"]],
  },
  thinkingBudget: {
    label: "thinking budget",
    hint: "Tokens, 0 to max output tokens.",
  },
  effort: {
    label: "effort",
    hint: "Sets the steps and how sure they must be, where those are unset.",
    choices: [
      ["", "none"],
      ["low", "low · 16 steps"],
      ["medium", "medium · 32 steps"],
      ["high", "high · 64 steps"],
    ],
  },
  seed: { label: "seed", hint: "0 to 2⁶⁴ − 1; empty lets the server draw one." },
  maxOutputTokens: { label: "max output tokens", hint: "1 to 262,144, as the context allows." },
  maxDenoisingSteps: { label: "max denoising steps", hint: "1 to 1,000 a canvas." },
  temperature: { label: "temperature", hint: "0 to 100; 0 draws the likeliest token." },
  topP: { label: "top p", hint: "Above 0, at most 1." },
  topK: { label: "top k", hint: "At least 1." },
  minP: { label: "min p", hint: "0 to 1." },
  stopSequences: {
    label: "stop sequences",
    hint: "One a line, at most 16 of 1 to 256 bytes; \\n is a line feed.",
    isLong: true,
  },
  formatKind: {
    label: "response format",
    hint: "Not together with tools or stop sequences.",
    choices: [
      ["", "none"],
      ["json", "JSON schema"],
      ["regex", "regular expression"],
      ["choices", "one of some texts"],
    ],
  },
  formatText: { label: "format", hint: "", isLong: true },
  tools: {
    label: "tools",
    hint: "JSON: a list of objects with name, description and parameters (a JSON Schema).",
    isLong: true,
  },
};

/** What `formatText` is about, and an example. */
export const FORMATS: Readonly<Record<string, { hint: string; example: string }>> = {
  json: {
    hint: "Properties are written in the order of the schema.",
    example: '{"type": "object", "properties": {"name": {"type": "string"}}}',
  },
  regex: { hint: "Matches the whole text; Python’s syntax.", example: "[0-9]{2,4}" },
  choices: { hint: "One a line, 1 to 1,024 of them.", example: "yes\nno" },
};

/** What an unset field stands for, in the model's own settings. */
export function unsetValue(name: FieldName, model: Model | undefined): string {
  const defaults = model?.defaults;
  const known: Partial<Record<FieldName, number | undefined>> = {
    maxOutputTokens: defaults?.maxOutputTokens,
    maxDenoisingSteps: defaults?.maxDenoisingSteps,
    temperature: defaults?.temperature,
    topP: defaults?.topP,
    topK: defaults?.topK,
    minP: defaults?.minP,
  };
  const value = known[name];
  return value === undefined ? "" : value.toLocaleString("en");
}
