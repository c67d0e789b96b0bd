// From what a caller gives to answer to the prompt of the contract. Bounds, and whether results fit
// their calls, are the server's business.

import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import {
  ChatRole,
  type ChatMessageSchema,
  type ChatPromptSchema,
  type ContentPartSchema,
  type ToolCallSchema,
  type ToolChoiceSchema,
  type ToolResultSchema,
  type ToolSchema,
  ToolChoiceMode,
} from "./gen/palimpsest/v1/chat_pb.js";
import type { PromptSchema } from "./gen/palimpsest/v1/prompt_pb.js";
import { invalidField } from "./errors.js";
import type { ToolCall } from "./events.js";

/** A piece of content. */
export type ContentPart =
  | { text: string }
  /**
   * An encoded file; its type is recognised where `mimeType` is left out. `maxSoftTokens` is what
   * it may take: 70, 140, 280, 560 or 1120.
   */
  | { image: Uint8Array; mimeType?: string; maxSoftTokens?: number }
  /** The same of a video, for each frame; `fps` is how often it is seen, once a second if unset. */
  | { video: Uint8Array; mimeType?: string; maxSoftTokens?: number; fps?: number };

type Content = string | readonly ContentPart[];

/** One message of a conversation. */
export type ChatMessage =
  | { role: "system" | "developer" | "user"; content: Content }
  | {
      role: "assistant";
      content?: Content;
      thought?: string;
      toolCalls?: readonly ToolCall[];
    }
  /** The result of a call: `content` or, as an object, `response`. */
  | {
      role: "tool";
      content?: Content;
      response?: Record<string, unknown>;
      toolCallId?: string;
      name?: string;
    };

/** A prompt without the chat template. */
export type RawText = { rawText: string } | { tokenIds: readonly number[] };

/** A function that the model may call. */
export interface Tool {
  name: string;
  description?: string;
  /** A JSON Schema of its arguments. */
  parameters?: Record<string, unknown>;
  /** A JSON Schema of its result. */
  response?: Record<string, unknown>;
}

/** A mode, or one tool. */
export type ToolChoice =
  "auto" | "none" | "required" | { mode?: "auto" | "required"; toolName: string };

/** What a conversation is answered with. Left out means the server's default. */
export interface ChatOptions {
  tools?: readonly Tool[];
  toolChoice?: ToolChoice;
  enableThinking?: boolean;
  /** Further variables of the chat template. */
  templateKwargs?: Record<string, unknown>;
}

export type PromptSource = string | RawText | readonly ChatMessage[];

const ROLES = {
  system: ChatRole.SYSTEM,
  developer: ChatRole.DEVELOPER,
  user: ChatRole.USER,
  assistant: ChatRole.ASSISTANT,
  tool: ChatRole.TOOL,
};
const MODES = {
  auto: ToolChoiceMode.AUTO,
  none: ToolChoiceMode.NONE,
  required: ToolChoiceMode.REQUIRED,
};
const CHAT = "input.prompt.chat";

/** Throws `invalid_argument`. */
export function promptOf(
  source: PromptSource,
  options: ChatOptions,
): MessageInitShape<typeof PromptSchema> {
  if (typeof source === "object" && !Array.isArray(source)) {
    refuseOptions(options);
    return rawPrompt(source as RawText);
  }
  const messages: readonly ChatMessage[] =
    typeof source === "string"
      ? [{ role: "user", content: source }]
      : (source as readonly ChatMessage[]);
  const chat: MessageInitShape<typeof ChatPromptSchema> = {
    messages: messages.map(message),
    tools: options.tools?.map(tool) ?? [],
    toolChoice: options.toolChoice && toolChoice(options.toolChoice),
    enableThinking: options.enableThinking,
    templateKwargs: options.templateKwargs && struct(options.templateKwargs),
  };
  return { kind: { case: "chat", value: chat } };
}

function rawPrompt(raw: RawText): MessageInitShape<typeof PromptSchema> {
  if ("rawText" in raw) return { kind: { case: "text", value: raw.rawText } };
  return { kind: { case: "tokens", value: { tokenIds: [...raw.tokenIds] } } };
}

function refuseOptions(options: ChatOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) {
      throw invalidField(`${CHAT}.${name}`, "a raw prompt has no chat template to give it to");
    }
  }
}

function message(given: ChatMessage, index: number): MessageInitShape<typeof ChatMessageSchema> {
  const role = ROLES[given.role];
  if (role === undefined) {
    const known = Object.keys(ROLES).join(", ");
    throw invalidField(`${CHAT}.messages[${index}].role`, `'${given.role}' is none of ${known}`);
  }
  const parts = contentParts(given.content);
  if (given.role === "assistant") {
    const toolCalls = given.toolCalls?.map(toolCall) ?? [];
    return { role, parts, thought: given.thought ?? "", toolCalls };
  }
  return given.role === "tool" ? { role, parts, toolResult: toolResult(given) } : { role, parts };
}

function contentParts(content: Content | undefined): MessageInitShape<typeof ContentPartSchema>[] {
  if (content === undefined || content === "") return [];
  const parts = typeof content === "string" ? [{ text: content }] : content;
  return parts.map((part) => ({ kind: kindOf(part) }));
}

function kindOf(part: ContentPart): MessageInitShape<typeof ContentPartSchema>["kind"] {
  if ("text" in part) return { case: "text", value: part.text };
  const { mimeType = "", maxSoftTokens } = part;
  if ("image" in part) {
    return { case: "image", value: { data: part.image, mimeType, maxSoftTokens } };
  }
  const source = { case: "data" as const, value: part.video };
  return { case: "video", value: { source, mimeType, maxSoftTokens, fps: part.fps } };
}

function toolCall(call: ToolCall): MessageInitShape<typeof ToolCallSchema> {
  return { id: call.id, name: call.name, arguments: struct(call.arguments) };
}

function toolResult(
  given: Extract<ChatMessage, { role: "tool" }>,
): MessageInitShape<typeof ToolResultSchema> {
  const { toolCallId = "", name = "", response } = given;
  return { toolCallId, name, response: response && struct(response) };
}

function tool(given: Tool): MessageInitShape<typeof ToolSchema> {
  const { name, description = "", parameters, response } = given;
  return {
    name,
    description,
    parameters: parameters && struct(parameters),
    response: response && struct(response),
  };
}

function toolChoice(choice: ToolChoice): MessageInitShape<typeof ToolChoiceSchema> {
  const { mode = "auto", toolName = "" } = typeof choice === "string" ? { mode: choice } : choice;
  if (MODES[mode] === undefined) {
    const known = Object.keys(MODES).join(", ");
    throw invalidField(`${CHAT}.tool_choice.mode`, `'${mode}' is none of ${known}`);
  }
  return { mode: MODES[mode], toolName };
}

/** What cannot be JSON is refused when the request is written. */
function struct(value: Record<string, unknown>): JsonObject {
  return value as JsonObject;
}
