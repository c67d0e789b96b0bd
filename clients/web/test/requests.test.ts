import assert from "node:assert/strict";
import { test } from "node:test";
import type { GenerateOptions } from "../src/client.js";
import type { StreamGenerateRequest } from "../src/gen/palimpsest/v1/generation_pb.js";
import type { PromptSource } from "../src/prompts.js";
import { streamRequest, type Sampling } from "../src/requests.js";

const ABOUT = { model: "", share: "", priority: "normal" as const };

function requestOf(
  sampling: Sampling,
  { canvas, drafts = false }: GenerateOptions = {},
  source: PromptSource = "x",
): StreamGenerateRequest {
  return streamRequest(ABOUT, { source, chat: {}, sampling, canvas, drafts, requestId: "" });
}

function samplingOf(sampling: Sampling) {
  return requestOf(sampling).input?.sampling;
}

test("what is left out stays unset", () => {
  const sampling = samplingOf({});
  assert.equal(sampling?.seed, undefined);
  assert.equal(sampling?.temperature, undefined);
});

test("a seed may be a number or a bigint, up to the last of them", () => {
  assert.equal(samplingOf({ seed: 7 })?.seed, 7n);
  assert.equal(samplingOf({ seed: 2n ** 64n - 1n })?.seed, 2n ** 64n - 1n);
});

test("a number that cannot hold a seed is refused", () => {
  const refusal = { code: "invalid_argument", message: /^input.sampling.seed: 1.5 is not a whole/ };
  assert.throws(() => requestOf({ seed: 1.5 }), refusal);
});

test("a value that no message can hold is refused with its field", () => {
  assert.throws(() => requestOf({ maxOutputTokens: -1 }), {
    code: "invalid_argument",
    message: /^input.sampling: .*max_output_tokens.*-1$/,
  });
});

test("an option that is misspelt is refused by name", () => {
  const misspelt = { temprature: 1 } as Sampling;
  assert.throws(() => requestOf(misspelt), {
    code: "invalid_argument",
    message: /^input.sampling.temprature: unknown option/,
  });
});

test("an effort that does not exist is refused with those that do", () => {
  const sampling = { effort: "huge" } as unknown as Sampling;
  assert.throws(() => requestOf(sampling), { message: /'huge' is none of low, medium, high$/ });
});

test("a schema is sent as text, in the order of its properties", () => {
  const format = samplingOf({ responseFormat: { jsonSchema: { type: "object", a: 1 } } });
  assert.deepEqual(format?.responseFormat?.format, {
    case: "jsonSchema",
    value: '{"type":"object","a":1}',
  });
});

test("a template in one text is literals and gaps", () => {
  const template = requestOf({}, { canvas: { template: "1 2 [[8]] 9" } }).input?.canvas?.template;
  const spans = template?.spans.map(({ kind }) =>
    kind.case === "free" ? kind.value.tokenCount : kind.value,
  );
  assert.deepEqual(spans, ["1 2 ", 8, " 9"]);
});

test("text and token ids go without the chat template", () => {
  assert.deepEqual(requestOf({}, {}, { rawText: "a" }).input?.prompt?.kind, {
    case: "text",
    value: "a",
  });
  const kind = requestOf({}, {}, { tokenIds: [1, 2] }).input?.prompt?.kind;
  assert.equal(kind?.case, "tokens");
  assert.deepEqual(kind.value.tokenIds, [1, 2]);
});

test("a message of an unknown role is refused with its place", () => {
  const source = [{ role: "usr", content: "x" }] as unknown as PromptSource;
  const message = /^input.prompt.chat.messages\[0\].role: 'usr' is none of system, /;
  assert.throws(() => requestOf({}, {}, source), { message });
});

test("images and videos are parts with what they may take", () => {
  const [image, video] = [Uint8Array.of(1), Uint8Array.of(2)];
  const content = [
    { image, maxSoftTokens: 70 },
    { video, fps: 2, mimeType: "video/mp4" },
  ];
  const chat = requestOf({}, {}, [{ role: "user", content }]).input?.prompt?.kind;
  assert.equal(chat?.case, "chat");
  const [first, second] = chat.value.messages[0]!.parts.map(({ kind }) => kind);
  assert.equal(first?.case, "image");
  assert.deepEqual(first.value.data, image);
  assert.equal(first.value.maxSoftTokens, 70);
  assert.equal(second?.case, "video");
  assert.deepEqual(second.value.source, { case: "data", value: video });
  assert.equal(second.value.fps, 2);
});
