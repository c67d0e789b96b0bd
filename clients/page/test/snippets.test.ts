import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import type { ContentPart } from "@palimpsest/client";
import type { Asked } from "../src/run.ts";
import { snippet, type Language } from "../src/snippets/snippet.ts";

const URL = "http://127.0.0.1:8080";
const NASTY = `it's "quoted" \\ back\\slash \`tick\` $HOME \${x} $(x) \t\r\n%s {b} é 🙂 \u2028 \uFEFF JSON\nJSON\n`;
const QUESTION: Asked = {
  messages: [{ role: "user", content: "reverse the word: storm" }],
  options: { seed: 7, drafts: true },
};
const EVERYTHING: Asked = {
  messages: [
    { role: "system", content: NASTY },
    { role: "user", content: [{ text: "a" }, { text: NASTY }] },
    {
      role: "assistant",
      toolCalls: [{ id: "call_0", name: "f", arguments: { aB: [null, true] } }],
    },
    { role: "tool", toolCallId: "call_0", response: { cD: NASTY } },
  ],
  options: {
    seed: 2n ** 64n - 1n,
    temperature: 0.5,
    stopSequences: [NASTY],
    logitBias: { 5: -1.5 },
    tools: [{ name: "f", parameters: { type: "object", properties: { aB: {} } } }],
    toolChoice: { mode: "required", toolName: "f" },
    enableThinking: false,
    responseFormat: { jsonSchema: { type: "object" } },
    canvas: { template: [NASTY, 8], readOnly: true },
    headers: { authorization: "Bearer secret" },
  },
};
const IMAGE: Asked = {
  messages: [{ role: "user", content: [{ text: "what?" }, { image: Uint8Array.of(1, 2, 255) }] }],
  options: {},
};
const LANGUAGES: Language[] = ["python", "curl", "typescript", "go"];

function has(program: string): boolean {
  return spawnSync(program, ["--help"]).error === undefined;
}

/** The body that a shell gives to a curl that shows it. */
function sent(asked: Asked): unknown {
  const script = `curl() { cat; }\n${snippet("curl", asked, URL)}`;
  return JSON.parse(execFileSync("sh", ["-c", script], { encoding: "utf8" }));
}

test("a question in Python is one call", () => {
  expect(snippet("python", QUESTION, URL)).toBe(`from palimpsest import Client

# Where \`palimpsest serve\` says that it listens.
with Client("127.0.0.1:50051") as client:
    answer = client.generate("reverse the word: storm", seed=7)
print(answer.text)
`);
});

test("a question in TypeScript is one call", () => {
  expect(snippet("typescript", QUESTION, URL))
    .toBe(`import { createClient } from "@palimpsest/client";

const client = createClient({ baseUrl: "http://127.0.0.1:8080" });
const stream = client.generate("reverse the word: storm", { seed: 7 });
const answer = await stream.answer();
console.log(answer.text);
`);
});

test("a shell hands curl the request as it is", () => {
  const input = (sent(EVERYTHING) as { input: Record<string, any> }).input;
  expect(input.prompt.chat.messages[0].parts[0].text).toBe(NASTY);
  expect(input.prompt.chat.messages[3].toolResult.response).toEqual({ cD: NASTY });
  expect(input.sampling.stopSequences).toEqual([NASTY]);
  expect(input.sampling.seed).toBe("18446744073709551615");
  expect(input.canvas.template.spans).toEqual([{ literal: NASTY }, { free: { tokenCount: 8 } }]);
});

test("an image is sent in base64", () => {
  const [message] = (sent(IMAGE) as any).input.prompt.chat.messages;
  expect(message.parts[1].image).toEqual({ data: "AQL/" });
});

test("TypeScript makes the same values of it", async () => {
  const code = snippet("typescript", EVERYTHING, URL);
  const call = /client\.chat\(([^]*?)\);\nconst answer/.exec(code)![1]!;
  const { headers: _, ...options } = EVERYTHING.options;
  expect(new Function(`return [${call}]`)()).toEqual([EVERYTHING.messages, options]);
  const image = /client\.chat\(([^]*?)\);\nconst answer/.exec(snippet("typescript", IMAGE, URL))!;
  expect(new Function(`return [${image[1]}]`)()).toEqual([IMAGE.messages]);
});

test.skipIf(!has("python3"))("Python makes the same values of it", () => {
  const code = snippet("python", EVERYTHING, URL).replace(/from .*\n/g, "");
  const program = `
import json, sys
class Client:
    def __init__(self, address): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def generate(self, **given): json.dump(given, sys.stdout); sys.exit()
Canvas = dict
${code}`;
  const given = JSON.parse(execFileSync("python3", ["-c", program], { encoding: "utf8" }));
  expect(given).toEqual({
    messages: [
      { role: "system", content: NASTY },
      { role: "user", content: `a${NASTY}` },
      {
        role: "assistant",
        tool_calls: [{ id: "call_0", name: "f", arguments: { aB: [null, true] } }],
      },
      { role: "tool", tool_call_id: "call_0", response: { cD: NASTY } },
    ],
    seed: Number(2n ** 64n - 1n),
    temperature: 0.5,
    stop_sequences: [NASTY],
    logit_bias: { 5: -1.5 },
    tools: [{ name: "f", parameters: { type: "object", properties: { aB: {} } } }],
    tool_choice: { mode: "required", tool_name: "f" },
    enable_thinking: false,
    response_format: { json_schema: { type: "object" } },
    canvas: { template: [NASTY, 8], read_only: true },
  });
});

test("Python sends images and videos", () => {
  const [question] = IMAGE.messages;
  const clip = { video: Uint8Array.of(7), fps: 2, mimeType: "video/mp4" };
  const content = [...(question!.content as ContentPart[]), clip];
  const code = snippet("python", { ...IMAGE, messages: [{ role: "user", content }] }, URL);
  expect(code).toContain("from palimpsest import Client, Image, Video\n");
  expect(code).toContain('"what?", Image(b64decode("AQL/")), Video(b64decode("Bw=="), fps=2)]');
});

test("a raw string of Go holds backquotes beside it, and no byte order mark", () => {
  const code = snippet("go", EVERYTHING, URL);
  const raw = /const body = ([^]*?)\n\nfunc main/.exec(code)![1]!;
  expect(raw).not.toContain("\uFEFF");
  const pieces = raw.split('` + "`" + `');
  expect(pieces.length).toBeGreaterThan(1);
  expect(JSON.parse(pieces.join("`").slice(1, -1))).toEqual(sent(EVERYTHING));
});

test.skipIf(!has("gofmt"))("Go is written as gofmt writes it", () => {
  const code = snippet("go", EVERYTHING, URL);
  expect(execFileSync("gofmt", { input: code, encoding: "utf8" })).toBe(code);
});

test.each(LANGUAGES)("%s holds no key and nothing of the page's own call", (language) => {
  const code = snippet(language, EVERYTHING, URL);
  expect(code).not.toMatch(/secret|drafts|preview/);
});
