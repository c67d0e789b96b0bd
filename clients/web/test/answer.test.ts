import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, emptyAnswer, isFinished } from "../src/answer.js";
import { all, clientOf, commit, completed, draft, message, started } from "./scripted.js";

test("an answer shows its draft until the canvas is committed", async () => {
  const client = clientOf([
    async function* () {
      yield started(1);
      yield draft(2, 0, 1);
      yield commit(3, 0, "ab");
      yield completed(4);
    },
  ]);
  let answer = emptyAnswer();
  const drafts = [];
  for await (const event of client.generate("x")) {
    answer = advance(answer, event);
    drafts.push(answer.draft?.text);
  }
  assert.deepEqual(drafts, [undefined, "1", undefined, undefined]);
  assert.ok(isFinished(answer));
});

test("an event leaves the answer before it as it was", async () => {
  const [event] = await all(
    clientOf([
      async function* () {
        yield commit(1, 0, "ab");
      },
    ]).generate("x"),
  );
  assert.ok(event);
  const before = emptyAnswer();
  assert.equal(advance(before, event).text, "ab");
  assert.deepEqual(before, emptyAnswer());
});

test("each candidate is folded from its own events, and has its own seed", async () => {
  const events = await all(
    clientOf([
      async function* () {
        yield started(1);
        yield commit(2, 0, "ab");
        const value = { candidateIndex: 1, textDelta: "other" };
        yield message(3, { case: "commit", value });
      },
    ]).generate("x", { candidateCount: 2 }),
  );
  const [first, second] = [0, 1].map((index) => events.reduce(advance, emptyAnswer(index)));
  assert.deepEqual([first?.text, first?.seed], ["ab", 9n]);
  assert.deepEqual([second?.text, second?.seed], ["other", 10n]);
});

test("a stream that ends before it is complete is no answer", async () => {
  const client = clientOf([
    async function* () {
      yield started(1);
    },
  ]);
  await assert.rejects(client.generate("x").answer(), { code: "internal" });
});
