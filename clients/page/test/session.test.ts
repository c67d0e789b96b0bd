import { effect } from "@preact/signals";
import { describe, expect, test } from "vitest";
import {
  clientOf,
  commit,
  completed,
  draft,
  refusing,
  started,
  type Answering,
} from "../../web/test/scripted.ts";
import type { StreamGenerateRequest } from "../../web/src/gen/palimpsest/v1/generation_pb.ts";
import { Store } from "../src/chat/store.ts";
import { Session } from "../src/session.ts";

/** A session whose server says `answers`, and whose page is drawn when `frame` is called. */
function sessionOf(answers: Answering[], kept = new Map<string, string>(), room = Infinity) {
  const asked: { request: StreamGenerateRequest; key: string | null }[] = [];
  const watched = answers.map<Answering>((answering) => (request, context) => {
    asked.push({ request, key: context.requestHeader.get("authorization") });
    return answering(request, context);
  });
  const page = { hidden: false, frames: [] as (() => void)[] };
  const store = new Store({
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => {
      if (value.length > room) throw new Error("full");
      kept.set(name, value);
    },
    removeItem: (name) => kept.delete(name),
  });
  const session = new Session({
    client: clientOf(watched, { retries: 0 }),
    page: {
      nextFrame: (then) => page.frames.push(then),
      isHidden: () => page.hidden,
      now: () => 0,
    },
    store,
    secrets: new Store(secretsOf()),
  });
  const frame = () => page.frames.splice(0).forEach((then) => then());
  return { session, asked, page, frame, kept };
}

function secretsOf() {
  const kept = new Map<string, string>();
  return {
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
    removeItem: (name: string) => void kept.delete(name),
  };
}

/** Resolves as soon as `condition` holds, which reads signals. */
function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => effect(() => void (condition() && resolve())));
}

const ended = (session: Session) => until(() => session.running.value === 0);
const runOf = (session: Session, turn = 0, at = 0) => session.turns.value[turn]!.runs[at]!.peek();

const TOO_HOT = { field: "input.sampling.temperature", description: "is outside" };

async function* hello() {
  yield started(1, 64);
  yield draft(2, 0, 1);
  yield draft(3, 0, 2);
  yield commit(4, 0, "hello");
  yield completed(5);
}

describe("a run", () => {
  test("events wait for the next frame and are applied at once", async () => {
    let go = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    const { session, frame, page } = sessionOf([
      async function* () {
        yield started(1, 64);
        yield draft(2, 0, 1);
        yield draft(3, 0, 2);
        await gate;
        yield completed(4);
      },
    ]);
    session.send("hi");
    const run = session.turns.value[0]!.runs[0]!;
    let changes = -1;
    effect(() => void (run.value, (changes += 1)));
    while (page.frames.length === 0) await new Promise(setImmediate);
    expect(changes).toBe(0);
    frame();
    expect(changes).toBe(1);
    expect(run.peek().started?.canvasLength).toBe(64);
    go();
    await ended(session);
    expect(run.peek().canvases[0]?.frames.map(({ draft }) => draft.step)).toEqual([1, 2]);
    expect(run.peek().state).toBe("finished");
  });

  test("a run that begins on a hidden page asks for no drafts, and else for all", async () => {
    const { session, asked, page } = sessionOf([hello, hello]);
    page.hidden = true;
    session.send("hi");
    await ended(session);
    page.hidden = false;
    session.send("hi");
    await ended(session);
    expect(asked[0]?.request.preview).toBeUndefined();
    expect(asked[1]?.request.preview).toMatchObject({ includeEntropy: true, maxRateHz: 1_000 });
  });

  test("a draft that comes to a hidden page is not kept, and a commit is", async () => {
    const { session, page } = sessionOf([hello]);
    session.send("hi");
    page.hidden = true;
    await ended(session);
    expect(runOf(session).canvases).toMatchObject([{ frames: [], commit: { textDelta: "hello" } }]);
  });

  test("stopping ends the run and keeps what was written", async () => {
    const { session, frame, page } = sessionOf([
      async function* (_, context) {
        yield started(1, 64);
        yield commit(2, 0, "half");
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      },
    ]);
    session.send("hi");
    while (runOf(session).answer.text === "") {
      await new Promise(setImmediate);
      if (page.frames.length) frame();
    }
    session.stop();
    await ended(session);
    expect(runOf(session)).toMatchObject({ state: "stopped", answer: { text: "half" } });
  });

  test("a stream that ends too early has failed", async () => {
    const { session } = sessionOf([
      async function* () {
        yield started(1);
      },
    ]);
    session.send("hi");
    await ended(session);
    expect(runOf(session)).toMatchObject({ state: "failed", error: { code: "internal" } });
  });
});

describe("a conversation", () => {
  test("what was said before is sent along", async () => {
    const { session, asked } = sessionOf([hello, hello]);
    session.send("first");
    await ended(session);
    session.send("second");
    await ended(session);
    const prompt = asked[1]?.request.input?.prompt?.kind;
    const messages = prompt?.case === "chat" ? prompt.value.messages : [];
    expect(messages.map(({ parts }) => parts[0]?.kind.value)).toEqual(["first", "hello", "second"]);
  });

  test("settings that cannot be read are not sent", () => {
    const { session } = sessionOf([]);
    session.set("a", "topK", "many");
    expect(session.send("hi")).toBe(false);
    expect(session.turns.value).toEqual([]);
    expect(session.problems.value.a.topK).toBeDefined();
    session.set("a", "topK", "3");
    expect(session.problems.value.a.topK).toBeUndefined();
  });

  test("a refusal stands at its setting, and a retry takes the settings of now", async () => {
    const { session, asked } = sessionOf([refusing("InvalidArgument", TOO_HOT), hello]);
    session.set("a", "temperature", "1000");
    session.send("hi");
    await ended(session);
    expect(session.problems.value.a).toEqual({ temperature: "is outside" });
    session.set("a", "temperature", "1");
    session.retry(session.turns.value[0]!);
    await ended(session);
    expect(asked[1]?.request.input?.sampling?.temperature).toBe(1);
    expect(runOf(session).state).toBe("finished");
  });

  test("a server that wants a key is given it, and asked again", async () => {
    const { session, asked } = sessionOf([refusing("Unauthenticated"), hello]);
    session.send("hi");
    await ended(session);
    expect(session.keyWanted.value).toBe(true);
    session.useKey("sesame");
    await ended(session);
    expect(asked.map(({ key }) => key)).toEqual([null, "Bearer sesame"]);
    expect(runOf(session).answer.text).toBe("hello");
  });

  test("two runs are compared, and the conversation goes on with the chosen one", async () => {
    const other: Answering = async function* () {
      yield started(1, 64);
      yield commit(2, 0, "bonjour");
      yield completed(3);
    };
    const { session, asked } = sessionOf([hello, other, hello, hello]);
    session.compare(true);
    session.send("hi");
    await ended(session);
    const seeds = asked.map(({ request }) => request.input?.sampling?.seed);
    expect(new Set(seeds).size).toBe(2);
    session.choose(session.turns.value[0]!, 1);
    session.send("more");
    await ended(session);
    expect(JSON.stringify(runOf(session, 1).asked.messages)).toContain("bonjour");
  });

  test("a rewritten answer stands beside the one that it rewrites", async () => {
    const { session, asked } = sessionOf([hello, hello]);
    session.send("hi");
    await ended(session);
    const before = runOf(session);
    const options = { canvas: { startingTokenIds: [1], pinnedPositions: [0] } };
    session.rewrite(session.turns.value[0]!, 0, { ...before.asked, options });
    await ended(session);
    const turn = session.turns.value[0]!;
    expect([turn.runs.length, turn.chosen, runOf(session)]).toEqual([2, 1, before]);
    expect(asked[1]?.request.input?.canvas?.pinnedPositions).toEqual([0]);
  });
});

describe("a reload", () => {
  test("the conversation and the settings are there again, without drafts", async () => {
    const first = sessionOf([hello, hello]);
    first.session.set("a", "seed", "9");
    first.session.send([{ text: "look" }, { image: new Uint8Array([0, 255]) }]);
    await ended(first.session);
    const { session } = sessionOf([hello], first.kept);
    const [was, is] = [runOf(first.session), runOf(session)];
    expect(session.settings.value).toEqual(first.session.settings.value);
    expect(session.turns.value[0]?.sent).toEqual(first.session.turns.value[0]?.sent);
    expect(is).toMatchObject({ asked: was.asked, state: "finished", canvases: [] });
    expect(is.answer).toMatchObject({ text: "hello", seed: 9n, finishReason: "stop" });
    session.send("more");
    expect(runOf(session, 1).asked.messages).toHaveLength(3);
    await ended(session);
  });

  test("garbage is an empty conversation", () => {
    for (const text of ["{", "3", '{"version": 1}', '{"version": 1, "turns": [{"sent": 3}]}']) {
      const { session } = sessionOf([], new Map([["palimpsest.conversation", text]]));
      expect(session.turns.value).toEqual([]);
    }
  });

  test("the newest turns are kept where there is no room for all", async () => {
    const { session, kept } = sessionOf([hello, hello], new Map(), 900);
    session.send("first".repeat(50));
    await ended(session);
    session.send("second");
    await ended(session);
    const text = kept.get("palimpsest.conversation")!;
    expect(text).toContain("second");
    expect(text).not.toContain("first");
  });

  test("a conversation that is cleared is forgotten", async () => {
    const first = sessionOf([hello]);
    first.session.send("hi");
    await ended(first.session);
    first.session.clear();
    expect(sessionOf([], first.kept).session.turns.value).toEqual([]);
  });
});
