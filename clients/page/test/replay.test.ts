import { expect, test } from "vitest";
import type { AnswerEvent, Draft } from "@palimpsest/client";
import { replayHtml } from "../src/replay/html.ts";
import { runFromJson, runJson } from "../src/replay/json.ts";
import { readReplay } from "../src/replay/replay.ts";
import { fileName } from "../src/replay/save.ts";
import { newRun, withEvent, type Asked, type Run } from "../src/run.ts";

const FIGURES = {
  stepMs: 7.25,
  queueMs: undefined,
  deviceMs: 5.5,
  batchSize: 1,
  temperature: 0.7,
  acceptedCount: 2,
  changedCount: 3,
  meanEntropy: 0.1234567890123,
};
const DRAFT: Draft = {
  kind: "draft",
  sequence: 2,
  candidateIndex: 0,
  canvasIndex: 0,
  step: 1,
  maxDenoisingSteps: 48,
  figures: FIGURES,
  tokens: {
    ids: [5, 6, 0],
    texts: ["<b>", "</script>", ""],
    confidence: [1, 127 / 255, 0],
    accepted: [true, false, false],
    entropy: [0, 1 / 255, 254 / 255],
  },
  text: "",
  thought: "",
  spans: [{ kind: "thought", start: 0, length: 1 }],
};
const EVENTS: AnswerEvent[] = [
  {
    kind: "started",
    sequence: 1,
    requestId: "a/b c",
    model: "palimpsest-tiny",
    canvasLength: 3,
    promptTokens: 4,
    cachedPromptTokens: 0,
    seed: 2n ** 64n - 1n,
    queueMs: 0.5,
    prefillMs: 2,
  },
  DRAFT,
  {
    kind: "commit",
    sequence: 3,
    candidateIndex: 0,
    canvasIndex: 0,
    steps: 2,
    converged: true,
    tokenIds: [5, 6],
    textDelta: "a “b” \u2028 </script><!-- <script> 🙂",
    thoughtDelta: "",
    toolCalls: [{ id: "call_0", name: "f", arguments: { seed: "7", image: "x" } }],
    logprobs: [],
    denoiseMs: 12,
    figures: FIGURES,
  },
  { ...DRAFT, sequence: 4, canvasIndex: 1, tokens: undefined },
];
const ASKED: Asked = {
  messages: [
    { role: "system", content: "be short" },
    {
      role: "user",
      content: [
        { text: "what is it?" },
        { image: octets(20_000), mimeType: "a/b" },
        { video: octets(9), fps: 2 },
      ],
    },
    { role: "tool", response: { seed: "8", content: [{ imageBase64: "kept" }] } },
  ],
  options: { seed: 2n ** 63n, temperature: 0.5, drafts: true },
};

function octets(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => i % 256);
}

function recorded(asked: Asked = ASKED): Run {
  return EVENTS.reduce((run, event, i) => withEvent(run, event, i * 10.5), newRun(3, asked, 1e12));
}

test("a run comes back from JSON as it was", () => {
  expect(runFromJson(runJson(recorded()))).toEqual(recorded());
});

test("a seed that was given as a number comes back as one", () => {
  const asked = { ...ASKED, options: { seed: 7 } };
  expect(runFromJson(runJson(recorded(asked))).asked.options.seed).toBe(7);
});

test("a run of which nothing has come yet comes back too", () => {
  const run = newRun(1, { messages: [], options: {} }, 5);
  expect(runFromJson(runJson(run))).toEqual(run);
});

test("what may hold a key does not leave the page", () => {
  const headers = { authorization: "Bearer secret" };
  const { signal } = new AbortController();
  const options = { ...ASKED.options, headers, signal, timeoutMs: 5 };
  const json = runJson(recorded({ ...ASKED, options }));
  expect(json).not.toContain("secret");
  expect(runFromJson(json).asked).toEqual(ASKED);
});

test.each(["null", "{}", '{"format": "other", "version": 1}'])(
  "%s is refused as no run",
  (text) => {
    expect(() => runFromJson(text)).toThrow("this is no run");
  },
);

test("a run of a later version is refused by its version", () => {
  const text = '{"format": "palimpsest-run", "version": 2}';
  expect(() => runFromJson(text)).toThrow("version 2; this page reads version 1");
});

test("a replay holds the run, and nothing in it can end its elements", () => {
  const script = 'const a = "</SCRIPT><!--<script>";';
  const style = 'a::after { content: "</style>"; }';
  const html = replayHtml("a <b> & c", runJson(recorded()), { script, style });
  expect(html.match(/<\/?(script|style)\b/gi)).toHaveLength(7); // one is in a string, harmless
  expect(html).not.toMatch(/<!--/);
  expect(html).toContain("<title>a &lt;b> &amp; c</title>");
  const json = /<script type="application\/json" id="replay">(.*?)<\/script>/s.exec(html)?.[1];
  const page = { getElementById: () => ({ textContent: json }) } as unknown as Document;
  expect(readReplay(page)).toEqual(recorded());
});

test("code and style mean the same in a replay", () => {
  const script = 'return "</script><!-- </style>";';
  const html = replayHtml("", "{}", { script, style: "" });
  const inline = /nonce="replay">(return.*)<\/script>/.exec(html)![1]!;
  expect(new Function(inline)()).toBe("</script><!-- </style>");
});

test("a page of a server is no replay", () => {
  expect(readReplay({ getElementById: () => null } as unknown as Document)).toBeUndefined();
});

test("a file is named after its request, in characters that every system takes", () => {
  expect(fileName(recorded(), "json")).toBe("palimpsest-a_b_c.json");
  expect(fileName(newRun(4, ASKED, 0), "html")).toBe("palimpsest-run-4.html");
});
