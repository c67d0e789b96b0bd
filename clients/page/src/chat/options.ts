// From settings as they are typed to the options of a call. Only what cannot be sent is refused
// here: bounds are the server's business.

import type { Effort, GenerateOptions, ResponseFormat, Tool } from "@palimpsest/client";
import { isRecord, type FieldName, type Fields, type Problems } from "./settings.ts";

export interface Understood {
  options: GenerateOptions;
  /** Empty if all fields could be read. */
  problems: Problems;
}

const MOST_UINT32 = 2 ** 32 - 1;
const TOOL_FIELDS: readonly (keyof Tool)[] = ["name", "description", "parameters", "response"];

export function understood(fields: Fields): Understood {
  const problems: Partial<Record<FieldName, string>> = {};
  const read = <T>(name: FieldName, parse: (text: string) => T): T | undefined => {
    const text = fields[name].trim();
    if (text === "") return undefined;
    try {
      return parse(text);
    } catch (problem) {
      problems[name] = (problem as Error).message;
      return undefined;
    }
  };
  const options: GenerateOptions = {
    enableThinking: read("thinking", (text) => text === "on"),
    tools: read("tools", tools),
    thinkingBudget: read("thinkingBudget", whole),
    effort: read("effort", (text) => text as Effort),
    seed: read("seed", seed),
    maxOutputTokens: read("maxOutputTokens", whole),
    maxDenoisingSteps: read("maxDenoisingSteps", whole),
    temperature: read("temperature", number),
    topP: read("topP", number),
    topK: read("topK", whole),
    minP: read("minP", number),
    stopSequences: read("stopSequences", stopSequences),
    responseFormat: read("formatText", (text) => format(fields.formatKind, text)),
  };
  if (fields.formatKind !== "" && fields.formatText.trim() === "") {
    problems.formatText = "nothing is written yet";
  }
  return { options: defined(options), problems };
}

/** A seed that is short enough to be read aloud. */
export function drawnSeed(): string {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]);
}

/** Without what is left out. */
function defined(options: GenerateOptions): GenerateOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function number(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error(`“${text}” is not a number`);
  return value;
}

function whole(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value) || value < 0 || value > MOST_UINT32) {
    throw new Error(`“${text}” is not a whole number from 0 to ${MOST_UINT32}`);
  }
  return value;
}

function seed(text: string): bigint {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n) {
    throw new Error(`“${text}” is not a whole number from 0 to 2^64 − 1`);
  }
  return BigInt(text);
}

/** One a line, in which `\n`, `\t` and `\\` are written as in JSON. */
function stopSequences(text: string): string[] {
  const characters: Record<string, string> = { n: "\n", t: "\t" };
  const plain = (line: string) => line.replace(/\\(.)/g, (_, one) => characters[one] ?? one);
  return text.split("\n").filter(Boolean).map(plain);
}

function format(kind: string, text: string): ResponseFormat | undefined {
  switch (kind) {
    case "json":
      return { jsonSchema: text };
    case "regex":
      return { regex: text };
    case "choices":
      return { choices: text.split("\n").filter(Boolean) };
    default:
      return undefined;
  }
}

/** A list of tools, each as the contract has it or wrapped as OpenAI's. */
function tools(text: string): Tool[] {
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) throw new Error('not a list: write [{"name": …}, …]');
  return parsed.map((one, i) => {
    const tool = isRecord(one) && isRecord(one.function) ? one.function : one;
    if (!isRecord(tool) || typeof tool.name !== "string") {
      throw new Error(`tool ${i} has no name: write {"name": …, "parameters": …}`);
    }
    return known(tool) as unknown as Tool;
  });
}

/** Other doors know more of a tool, such as OpenAI's `strict`; Python's client refuses that. */
function known(tool: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    TOOL_FIELDS.flatMap((name) => (name in tool ? [[name, tool[name]]] : [])),
  );
}

/** Of two runs, both have one seed, so that only what is set makes a difference; if nothing is set
 * apart, their seeds are what differs. */
export function paired(options: readonly GenerateOptions[], differ: boolean): GenerateOptions[] {
  const [a, b] = options;
  if (a === undefined || b === undefined) return [...options];
  const seed = a.seed ?? BigInt(drawnSeed());
  if (!differ)
    return [
      { ...a, seed },
      { ...b, seed: BigInt(drawnSeed()) },
    ];
  return [
    { ...a, seed },
    { ...b, seed: b.seed ?? seed },
  ];
}
