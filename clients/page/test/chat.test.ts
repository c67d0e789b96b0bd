import type { Draft, ToolCall } from "@palimpsest/client";
import { describe, expect, test } from "vitest";
import { draftText } from "../src/chat/drafts.ts";
import { messagesOf, type Exchange } from "../src/chat/history.ts";
import { recalled } from "../src/chat/recall.ts";
import { resultOf } from "../src/chat/results.ts";

const CALL: ToolCall = { id: "call_0", name: "get_time", arguments: { city: "Mint" } };

function asked(content: string, answer?: Partial<Exchange["answer"]>): Exchange {
  return {
    sent: [{ role: "user", content }],
    answer: answer && { text: "", thought: "", toolCalls: [], ...answer },
  };
}

describe("history", () => {
  const next = [{ role: "user", content: "next" }] as const;

  test("a system message comes first, and roles and contents stay", () => {
    expect(messagesOf("be brief", [asked("hi", { text: "hello" })], next)).toEqual([
      { role: "system", content: "be brief" },
      { role: "user", content: "hi" },
      { role: "assistant", content: "hello" },
      ...next,
    ]);
  });

  test("a thought is kept with the calls that it led to, and dropped from other answers", () => {
    const thoughtful = { thought: "which city?", toolCalls: [CALL] };
    const result = resultOf(CALL, '{"time": "12:54"}');
    const before = [asked("a", { thought: "hm", text: "b" }), asked("time in Mint", thoughtful)];
    expect(messagesOf("", before, [result])).toEqual([
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "time in Mint" },
      { role: "assistant", content: "", ...thoughtful },
      { role: "tool", toolCallId: "call_0", name: "get_time", response: { time: "12:54" } },
    ]);
  });

  test("a message without an answer is left out, so that it does not run into the next", () => {
    expect(messagesOf("", [asked("lost"), asked("empty", { text: "" })], next)).toEqual(next);
  });

  test("a call that nobody answered gets a result that says so", () => {
    const messages = messagesOf("", [asked("time", { toolCalls: [CALL] }), asked("lost")], next);
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "user"]);
    expect(messages[2]).toMatchObject({
      toolCallId: "call_0",
      response: { error: expect.any(String) },
    });
  });

  test("results stay where no answer came of them", () => {
    const results: Exchange = { sent: [resultOf(CALL, "noon")], answer: undefined };
    const messages = messagesOf("", [asked("time", { toolCalls: [CALL] }), results], next);
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "user"]);
  });
});

describe("results of tools", () => {
  test("a JSON object is sent as one, and all else as text", () => {
    const about = { role: "tool", toolCallId: "call_0", name: "get_time" };
    expect(resultOf(CALL, ' {"a": [1]} ')).toEqual({ ...about, response: { a: [1] } });
    for (const text of ["noon", "", "[1]", "3", '{"a": ']) {
      expect(resultOf(CALL, text)).toEqual({ ...about, content: text });
    }
  });
});

describe("recall", () => {
  const prompts = ["first", "second"];

  test("going back and on again ends at what was not sent yet", () => {
    const back = recalled(prompts, undefined, -1, "half")!;
    expect(back.text).toBe("second");
    const further = recalled(prompts, back.recall, -1, back.text)!;
    expect(further.text).toBe("first");
    expect(recalled(prompts, further.recall, -1, further.text)).toBeUndefined();
    const on = recalled(prompts, further.recall, 1, further.text)!;
    const end = recalled(prompts, on.recall, 1, on.text)!;
    expect(end.text).toBe("half");
    expect(recalled(prompts, end.recall, 1, end.text)).toBeUndefined();
  });

  test("there is nothing to go back to before the first prompt", () => {
    expect(recalled([], undefined, -1, "")).toBeUndefined();
  });
});

describe("a draft as text", () => {
  function draft(texts: string[], spans: Draft["spans"]): Draft {
    return { tokens: { texts }, spans } as unknown as Draft;
  }

  test("text ends at the first special token that is a part of nothing", () => {
    expect(draftText(draft(["1", " ", "2", "", "rest", ""], [])).text).toBe("1 2");
  });

  test("thought, call and text are told apart, without markers", () => {
    const texts = ["", "thought\n", "hm", "", "so", "", "call:", "", "x", ""];
    const spans: Draft["spans"] = [
      { kind: "thought", start: 0, length: 4 },
      { kind: "tool_call", start: 5, length: 4 },
    ];
    expect(draftText(draft(texts, spans))).toEqual({ text: "so", thought: "hm", call: "call:x" });
  });

  test("a thought that goes on from the canvas before is whole", () => {
    const spans: Draft["spans"] = [{ kind: "thought", start: 0, length: 2 }];
    expect(draftText(draft(["thought\n", "x"], spans)).thought).toBe("thought\nx");
  });

  test("a draft without tokens says nothing", () => {
    expect(draftText({ spans: [] } as unknown as Draft).text).toBe("");
  });
});
