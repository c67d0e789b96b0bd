import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../src/gen/google/rpc/error_details_pb.js";
import type { ResumePoint, StreamGenerateRequest } from "../src/gen/palimpsest/v1/generation_pb.js";
import { all, clientOf, commit, completed, draft, started, type Answering } from "./scripted.js";

const GONE = () => new ConnectError("the engine stopped", Code.Unavailable);

const BROKEN: Answering = async function* () {
  yield started(1);
  yield commit(2, 0, "ab");
  yield draft(3, 1, 1);
  yield draft(4, 1, 2);
  throw GONE();
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
  const again: Answering = async function* (request) {
    requests.push(request);
    yield started(1);
    yield commit(2, 0, "ab");
    yield commit(3, 1, "c");
    yield completed(4);
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
