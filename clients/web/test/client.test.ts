import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { PreviewMode } from "../src/gen/palimpsest/v1/canvas_pb.js";
import type { StreamGenerateRequest } from "../src/gen/palimpsest/v1/generation_pb.js";
import { createClient } from "../src/client.js";
import { PalimpsestError } from "../src/errors.js";
import { all, clientOf, commit, completed, draft, started, type Answering } from "./scripted.js";

const WHOLE: Answering = async function* () {
  yield started(1);
  yield draft(2, 0, 1);
  yield commit(3, 0, "ab");
  yield commit(4, 1, "c");
  yield completed(5);
};

function recording(requests: StreamGenerateRequest[]): Answering {
  return async function* (request, context) {
    requests.push(request);
    yield* WHOLE(request, context);
  };
}

/** Goes on until its reader is gone, and tells when. */
function endless(): { answering: Answering; left: Promise<void> } {
  let leave: () => void;
  const left = new Promise<void>((resolve) => (leave = resolve));
  return {
    left,
    answering: async function* (_, context) {
      context.signal.addEventListener("abort", () => leave());
      yield started(1);
      for (let step = 1; !context.signal.aborted; step++) {
        yield draft(step + 1, 0, step);
        await setImmediate();
      }
    },
  };
}

test("an answer comes as typed events, in order", async () => {
  const events = await all(clientOf([WHOLE]).generate("x"));
  assert.deepEqual(
    events.map((event) => event.kind),
    ["started", "draft", "commit", "commit", "completed"],
  );
  assert.deepEqual(
    events.map((event) => event.sequence),
    [1, 2, 3, 4, 5],
  );
});

test("an answer may be had whole", async () => {
  const answer = await clientOf([WHOLE]).generate("x").answer();
  assert.equal(answer.text, "abc");
  assert.equal(answer.finishReason, "stop");
  assert.equal(answer.seed, 9n);
  assert.deepEqual(answer.tokenIds, [97, 98, 99]);
});

test("every call names the caller's trace as it is when it is made", async () => {
  const seen: (string | null)[] = [];
  const answering: Answering = async function* (request, context) {
    seen.push(context.requestHeader.get("traceparent"));
    yield* WHOLE(request, context);
  };
  let calls = 0;
  const inject = (headers: Record<string, string>) => {
    headers.traceparent = `call ${++calls}`;
  };
  const client = clientOf([answering, answering, answering], { inject });
  await client.generate("x").answer();
  await client.generate("x").answer();
  await client.generate("x", { headers: { traceparent: "given" } }).answer();
  assert.deepEqual(seen, ["call 1", "call 2", "given"]);
});

test("no drafts are asked for unless they are wanted", async () => {
  const requests: StreamGenerateRequest[] = [];
  const answering = recording(requests);
  const client = clientOf([answering, answering, answering]);
  await client.generate("x").answer();
  await client.generate("x", { drafts: true }).answer();
  await client.generate("x", { drafts: { mode: "text" } }).answer();
  const modes = requests.map((request) => request.preview?.mode);
  assert.deepEqual(modes, [undefined, PreviewMode.TOKENS, PreviewMode.TEXT]);
  assert.equal(requests[1]?.preview?.includeConfidence, true);
  assert.equal(requests[2]?.preview?.includeConfidence, false);
});

test("a conversation is sent with its roles, calls and results", async () => {
  const requests: StreamGenerateRequest[] = [];
  const toolCalls = [{ id: "call_0", name: "clock", arguments: { zone: "utc" } }];
  const client = clientOf([recording(requests)], { model: "tiny", share: "team", priority: "low" });
  await client
    .chat(
      [
        { role: "user", content: "what time is it?" },
        { role: "assistant", toolCalls },
        { role: "tool", toolCallId: "call_0", response: { hour: 7 } },
      ],
      { tools: [{ name: "clock" }], toolChoice: "required", enableThinking: false, seed: 3 },
    )
    .answer();
  const input = requests[0]?.input;
  assert.deepEqual([input?.model, input?.share, input?.priority], ["tiny", "team", 1]);
  assert.equal(input?.sampling?.seed, 3n);
  assert.equal(input.prompt?.kind.case, "chat");
  const chat = input.prompt.kind.value;
  assert.deepEqual(
    chat.messages.map((message) => message.role),
    [3, 4, 5],
  );
  assert.deepEqual(chat.messages[1]?.toolCalls[0]?.arguments, { zone: "utc" });
  assert.deepEqual(chat.messages[2]?.toolResult?.response, { hour: 7 });
  assert.deepEqual([chat.toolChoice?.mode, chat.enableThinking], [3, false]);
});

test("leaving the loop ends the work on the server", async () => {
  const { answering, left } = endless();
  for await (const event of clientOf([answering]).generate("x")) {
    if (event.kind === "draft") break;
  }
  await left;
});

test("an aborted call ends as canceled, with the reason, and so does its work", async () => {
  const { answering, left } = endless();
  const abort = new AbortController();
  const reason = new Error("enough");
  await assert.rejects(
    async () => {
      for await (const event of clientOf([answering]).generate("x", { signal: abort.signal })) {
        if (event.kind === "draft") abort.abort(reason);
      }
    },
    (error) =>
      error instanceof PalimpsestError && error.code === "canceled" && error.cause === reason,
  );
  await left;
});

test("a call that was aborted before it began is never made", async () => {
  const stream = clientOf([]).generate("x", { signal: AbortSignal.abort() });
  await assert.rejects(stream.answer(), { code: "canceled" });
});

test("a time limit ends a call that goes on", async () => {
  const { answering, left } = endless();
  const stream = clientOf([answering]).generate("x", { timeoutMs: 50 });
  await assert.rejects(stream.answer(), { code: "deadline_exceeded" });
  await left;
});

test("a request can be had as JSON of the contract", () => {
  const json = clientOf([WHOLE]).requestJson([{ role: "user", content: "x" }], {
    seed: 2n ** 64n - 1n,
    effort: "low",
    responseFormat: { choices: ["a"] },
    headers: { authorization: "Bearer secret" },
  });
  assert.deepEqual(json, {
    input: {
      prompt: { chat: { messages: [{ role: "CHAT_ROLE_USER", parts: [{ text: "x" }] }] } },
      sampling: {
        seed: "18446744073709551615",
        effort: "EFFORT_LOW",
        responseFormat: { choices: { texts: ["a"] } },
      },
      priority: "PRIORITY_NORMAL",
    },
  });
});

test("what is no URL of a server is refused when the client is made", () => {
  for (const baseUrl of ["", "127.0.0.1:8080", "localhost:8080", "http://"]) {
    const refusal = { code: "invalid_argument", message: /^baseUrl: '.*' is no URL of HTTP/ };
    assert.throws(() => createClient({ baseUrl }), refusal, baseUrl);
  }
});

test("a header that cannot be sent is refused by its name, and its value stays a secret", () => {
  const named = (name: string) => (error: unknown) => {
    assert.ok(error instanceof PalimpsestError);
    assert.equal(error.code, "invalid_argument");
    assert.equal(error.violations[0]?.field, `headers.${name}`);
    assert.doesNotMatch(`${error.message} ${error.cause}`, /hush/);
    return true;
  };
  for (const [name, value] of [
    ["key", "Bearer hush\u2013"],
    ["key", "hush\nhush"],
    ["a key", "hush"],
  ] as const) {
    const headers = { [name]: value };
    const inject = (carrier: Record<string, string>) => void (carrier[name] = value);
    assert.throws(() => clientOf([], { headers }), named(name));
    assert.throws(() => clientOf([]).generate("x", { headers }), named(name));
    assert.throws(() => clientOf([], { inject }).generate("x"), named(name));
  }
});

test("text with half a character is refused by every call that takes a prompt", async () => {
  const client = clientOf([]);
  const half = "x\ud800";
  const refusal = (message: RegExp) => ({ code: "invalid_argument", message });
  assert.throws(() => client.generate(half), refusal(/^input: .*ContentPart\.text/));
  assert.throws(() => client.generate({ rawText: half }), refusal(/^input: .*Prompt\.text/));
  const tools = [{ name: "f", parameters: { [half]: 1 } }];
  assert.throws(() => client.generate("x", { tools }), refusal(/^input: .*Struct\.fields/));
  await assert.rejects(client.countTokens(half), refusal(/^prompt: .*ContentPart\.text/));
  const labels = ["a", half];
  await assert.rejects(client.decide(half, { labels: ["a", "b"] }), refusal(/^prompt: /));
  await assert.rejects(client.decide("x", { labels }), refusal(/^questions: .*Question\.labels/));
});
