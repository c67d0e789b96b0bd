// What of a request is worth repeating elsewhere.

import { createClient, type GenerateOptions } from "@palimpsest/client";
import type { Asked } from "../run.ts";

/** The settings, without what belongs to one call of the page alone; a key stays where it is. */
export function settings(asked: Asked): GenerateOptions {
  const {
    drafts: _,
    signal: __,
    headers: ___,
    timeoutMs: ____,
    requestId: _____,
    ...rest
  } = asked.options;
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}

/** The text of a conversation that is one question. */
export function onlyQuestion(asked: Asked): string | undefined {
  const [first, ...others] = asked.messages;
  if (others.length > 0 || first?.role !== "user") return undefined;
  return typeof first.content === "string" ? first.content : undefined;
}

/** Where `Generate` is asked over HTTP. */
export function endpoint(baseUrl: string): string {
  return `${baseUrl}/palimpsest.v1.DiffusionService/Generate`;
}

/** The request of `Generate`, as indented JSON. */
export function body(asked: Asked, baseUrl: string): string {
  const request = createClient({ baseUrl }).requestJson(asked.messages, settings(asked));
  const { priority: _, ...input } = request.input as Record<string, unknown>;
  return JSON.stringify({ input }, undefined, 2);
}
