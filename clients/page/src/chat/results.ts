// What is typed as the result of a tool. Pure.

import type { ChatMessage, ToolCall } from "@palimpsest/client";
import { isRecord } from "./settings.ts";

/** A JSON object, or undefined for what is plain text. */
export function jsonObject(written: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(written);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The message that answers `call` with what was typed. */
export function resultOf(call: ToolCall, written: string): ChatMessage {
  const response = jsonObject(written);
  const about = { role: "tool", toolCallId: call.id, name: call.name } as const;
  return response ? { ...about, response } : { ...about, content: written };
}
