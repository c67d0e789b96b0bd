import type { ChatMessage, ContentPart, ResponseFormat, ToolChoice } from "@palimpsest/client";
import type { Asked } from "../run.ts";
import { base64 } from "../replay/json.ts";
import { onlyQuestion, settings } from "./asking.ts";
import { Code, enclosed, literal, PYTHON } from "./literals.ts";

/** gRPC's port is the default one: the page knows HTTP's alone. */
const PORT = 50_051;

/** By our own client. */
export function python(asked: Asked, baseUrl: string): string {
  const { canvas, tools } = asked.options;
  const names = ["Client", ...kindsOf(asked)];
  return [
    ...(names.length > 1 ? ["from base64 import b64decode", ""] : []),
    `from palimpsest import ${names.join(", ")}`,
    ...(canvas ? ["from palimpsest.requests import Canvas"] : []),
    "",
    "# Where `palimpsest serve` says that it listens.",
    `with Client("${new URL(baseUrl).hostname}:${PORT}") as client:`,
    `    answer = ${enclosed("client.generate(", argumentsOf(asked), ")", { dialect: PYTHON, level: 1 })}`,
    "print(answer.text)",
    ...(tools ? ["print(answer.tool_calls)"] : []),
    "",
  ].join("\n");
}

function argumentsOf(asked: Asked): string[] {
  const question = onlyQuestion(asked);
  const prompt =
    question === undefined ? named("messages", asked.messages.map(message)) : text(question);
  const options = Object.entries(settings(asked)).map(([name, value]) =>
    named(snake(name), converted(name, value)),
  );
  return [prompt, ...options];
}

function named(name: string, value: unknown): string {
  return `${name}=${literal(value, PYTHON, 2)}`;
}

function text(value: string): string {
  return literal(value, PYTHON);
}

function converted(name: string, value: unknown): unknown {
  switch (name) {
    case "canvas":
      return canvasCode(value as object);
    case "logitBias":
      return numberedCode(value as Record<number, number>);
    case "responseFormat":
    case "toolChoice":
      return renamed(value as ResponseFormat | ToolChoice);
    default:
      return value;
  }
}

function message(given: ChatMessage): unknown {
  const { content, ...rest } = given;
  return { role: given.role, content: said(content), ...(renamed(rest) as object) };
}

/** Text alone is one piece. */
function said(content: ChatMessage["content"]): unknown {
  if (typeof content !== "object") return content;
  const texts = content.flatMap((part) => ("text" in part ? [part.text] : []));
  return texts.length === content.length ? texts.join("") : content.map(part);
}

function part(given: ContentPart): unknown {
  if ("text" in given) return given.text;
  const { mimeType: _, ...rest } = given;
  const [kind, data] = "image" in rest ? ["Image", rest.image] : ["Video", rest.video];
  const { image: __, video: ___, ...settings } = rest as Record<string, unknown>;
  const named = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, ${snake(name)}=${literal(value, PYTHON)}`);
  return new Code(`${kind}(b64decode("${base64(data as Uint8Array)}")${named.join("")})`);
}

/** Members of the object itself; what is below them is the caller's own. */
function renamed(value: string | object): unknown {
  if (typeof value === "string") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [snake(name), member]));
}

function canvasCode(canvas: object): Code {
  const members = Object.entries(canvas).filter(([, value]) => value !== undefined);
  const fields = members.map(([name, value]) => `${snake(name)}=${literal(value, PYTHON, 3)}`);
  return new Code(enclosed("Canvas(", fields, ")", { dialect: PYTHON, level: 2 }));
}

function numberedCode(values: Record<number, number>): Code {
  const entries = Object.entries(values).map(([id, value]) => `${id}: ${value}`);
  return new Code(enclosed("{", entries, "}", { dialect: PYTHON, level: 2 }));
}

/** The classes that its parts need. */
function kindsOf(asked: Asked): string[] {
  const contents = asked.messages.map(({ content }) => content);
  const parts = contents.flatMap((content) => (typeof content === "object" ? content : []));
  const has = (kind: string) => parts.some((part) => kind in part);
  return [...(has("image") ? ["Image"] : []), ...(has("video") ? ["Video"] : [])];
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
