import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../src/gen/google/rpc/error_details_pb.js";
import type { ResumePoint, StreamGenerateRequest } from "../src/gen/palimpsest/v1/generation_pb.js";
import { createClient } from "../src/client.js";
import {
  all,
  clientOf,
  commit,
  completed,
  draft,
  fetchOf,
  started,
  type Answering,
} from "./scripted.js";

const GONE = () => new ConnectError("the engine stopped", Code.Unavailable);

const BROKEN: Answering = async function* () {
  yield started(1);
  yield commit(2, 0, "ab");
  yield draft(3, 1, 1);
  yield draft(4, 1, 2);
  throw GONE();
};

const WHOLE: Answering = async function* () {
  yield started(1);
  yield commit(2, 0, "ab");
  yield commit(3, 1, "c");
  yield completed(4);
};

const FAILING: Answering = async function* () {
  throw GONE();
};

function rest(requests: StreamGenerateRequest[]): Answering {
  return async function* (request) {
    requests.push(request);
    yield started(1);
    yield draft(2, 1, 2);
    yield draft(3, 1, 3);
    yield commit(4, 1, "c");
    yield completed(5);
  };
}

function told(point: ResumePoint | undefined): [number, number[]] | undefined {
  return point && [point.firstCanvasIndex, point.committedTokenIds];
}

test("a broken answer is taken up after its last whole canvas, with its own seed", async () => {
  const requests: StreamGenerateRequest[] = [];
  const answer = await clientOf([BROKEN, rest(requests)])
    .generate("x")
    .answer();
  assert.equal(answer.text, "abc");
  assert.deepEqual(told(requests[0]?.resume), [1, [97, 98]]);
  const input = requests[0]?.input;
  assert.deepEqual([input?.model, input?.requestId, input?.sampling?.seed], ["tiny", "r-1", 9n]);
});

/** The first response ends behind `messages` of its messages and `bytes` more. */
function cut(whole: typeof fetch, messages: number, bytes: number): typeof fetch {
  let isFirst = true;
  return async (input, init) => {
    const response = await whole(input, init);
    if (!isFirst) return response;
    isFirst = false;
    const body = new Uint8Array(await response.arrayBuffer());
    const end = endOf(body, messages) + bytes;
    assert.ok(end < body.length);
    return new Response(body.slice(0, end), response);
  };
}

/** Where so many messages of a body end: each has a byte of flags and its length ahead. */
function endOf(body: Uint8Array, messages: number): number {
  const view = new DataView(body.buffer, body.byteOffset);
  let end = 0;
  for (let i = 0; i < messages; i++) end += 5 + view.getUint32(end + 1);
  return end;
}

for (const protocol of ["connect", "connect-json", "grpc-web"] as const) {
  for (const [place, bytes] of [
    ["between two messages", 0],
    ["in the length of a message", 3],
    ["inside a message", 9],
  ] as const) {
    test(`a stream of ${protocol} that ends ${place} is taken up again`, async () => {
      const requests: StreamGenerateRequest[] = [];
      const fetch = cut(fetchOf([WHOLE, rest(requests)]), 2, bytes);
      const client = createClient({ baseUrl: "http://palimpsest.test", fetch, protocol });
      assert.equal((await client.generate("x").answer()).text, "abc");
      assert.deepEqual(told(requests[0]?.resume), [1, [97, 98]]);
    });
  }
}

test("what is known already is not told twice, and leaves no gap", async () => {
  const events = await all(clientOf([BROKEN, rest([])]).generate("x"));
  const drafts = events.flatMap((event) => (event.kind === "draft" ? [event.step] : []));
  assert.deepEqual(drafts, [1, 2, 3]);
  assert.deepEqual(
    events.map((event) => event.sequence),
    [1, 2, 3, 4, 5, 6, 7],
  );
  assert.equal(events.filter((event) => event.kind === "started").length, 1);
});

test("usage counts the whole answer, over all calls", async () => {
  const { usage } = await clientOf([BROKEN, rest([])])
    .generate("x")
    .answer();
  assert.deepEqual([usage.outputTokens, usage.canvases, usage.denoisingSteps], [3, 2, 8]);
});

test("an answer that had ended unsaid is asked for its last canvas once more", async () => {
  const requests: StreamGenerateRequest[] = [];
  const unsaid: Answering = async function* () {
    yield started(1);
    yield commit(2, 0, "ab");
    throw GONE();
  };
  const ended: Answering = async function* () {
    const violation = { field: "resume", description: "the answer had ended" };
    const bad = { desc: BadRequestSchema, value: { fieldViolations: [violation] } };
    throw new ConnectError("resume: the answer had ended", Code.InvalidArgument, undefined, [bad]);
  };
  const again: Answering = async function* (request) {
    requests.push(request);
    yield started(1);
    yield commit(2, 0, "ab");
    yield completed(3);
  };
  const answer = await clientOf([unsaid, ended, again]).generate("x").answer();
  assert.equal(answer.text, "ab");
  assert.equal(requests[0]?.resume, undefined);
});

test("an answer of a template starts over", async () => {
  const requests: StreamGenerateRequest[] = [];
  const again: Answering = async function* (request, context) {
    requests.push(request);
    yield* WHOLE(request, context);
  };
  const canvas = { template: "a[[2]]" };
  const answer = await clientOf([BROKEN, again]).generate("x", { canvas }).answer();
  assert.equal(answer.text, "abc");
  assert.equal(requests[0]?.resume, undefined);
});

test("several candidates are not taken up", async () => {
  const stream = clientOf([BROKEN]).generate("x", { candidateCount: 2 });
  await assert.rejects(stream.answer(), { code: "unavailable", message: "the engine stopped" });
});

test("a call that fails too often in a row fails", async () => {
  const client = clientOf([FAILING, FAILING], { retries: 1 });
  await assert.rejects(client.generate("x").answer(), { code: "unavailable" });
});

test("a call that is wrong is not made again", async () => {
  const wrong: Answering = async function* () {
    throw new ConnectError("no", Code.InvalidArgument);
  };
  await assert.rejects(clientOf([wrong]).generate("x").answer(), { code: "invalid_argument" });
});

test("a call that waits for another try can be aborted", async () => {
  const abort = new AbortController();
  const failing: Answering = async function* () {
    setTimeout(() => abort.abort(), 0);
    throw GONE();
  };
  const stream = clientOf([failing]).generate("x", { signal: abort.signal });
  await assert.rejects(stream.answer(), { code: "canceled" });
});
