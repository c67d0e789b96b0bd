import type { ChatMessage } from "@palimpsest/client";
import { base64 } from "../replay/json.ts";
import type { Asked } from "../run.ts";
import { onlyQuestion, settings } from "./asking.ts";
import { Code, enclosed, literal, TYPESCRIPT } from "./literals.ts";

/** By our own client, for browsers and Node. */
export function typescript(asked: Asked, baseUrl: string): string {
  const question = onlyQuestion(asked);
  const method = question === undefined ? "chat" : "generate";
  const options = settings(asked);
  const given: unknown[] = [question ?? asked.messages.map(message)];
  if (Object.keys(options).length > 0) given.push(options);
  const written = given.map((value) => literal(value, TYPESCRIPT, 1));
  return [
    'import { createClient } from "@palimpsest/client";',
    "",
    `const client = createClient({ baseUrl: ${JSON.stringify(baseUrl)} });`,
    `const stream = ${enclosed(`client.${method}(`, written, ")", { dialect: TYPESCRIPT, level: 0 })};`,
    "const answer = await stream.answer();",
    "console.log(answer.text);",
    ...(options.tools ? ["console.log(answer.toolCalls);"] : []),
    "",
  ].join("\n");
}

function message(given: ChatMessage): unknown {
  if (typeof given.content !== "object") return given;
  const content = given.content.map((part) => {
    if ("image" in part) return { ...part, image: bytesCode(part.image) };
    return "video" in part ? { ...part, video: bytesCode(part.video) } : part;
  });
  return { ...given, content };
}

function bytesCode(data: Uint8Array): Code {
  return new Code(`Uint8Array.from(atob("${base64(data)}"), (c) => c.charCodeAt(0))`);
}
