import { describe, expect, test } from "vitest";
import { blamed, fieldAt } from "../src/chat/blame.ts";
import { paired, understood } from "../src/chat/options.ts";
import { EXAMPLE_TOOLS } from "../src/chat/examples.ts";
import {
  fieldsOf,
  NO_FIELDS,
  NO_SETTINGS,
  readSettings,
  spoken,
  withField,
} from "../src/chat/settings.ts";
import { fromJson, Store, toJson } from "../src/chat/store.ts";

function optionsOf(fields: Partial<typeof NO_FIELDS>) {
  return understood({ ...NO_FIELDS, ...fields });
}

describe("settings that are read", () => {
  test("fields that are empty leave the choice to the server", () => {
    expect(optionsOf({})).toEqual({ options: {}, problems: {} });
  });

  test("fields become options of their types", () => {
    const { options, problems } = optionsOf({
      thinking: "off",
      seed: "18446744073709551615",
      maxOutputTokens: " 40 ",
      temperature: "0.5",
      stopSequences: "END\n\\n\\n\n",
      formatKind: "choices",
      formatText: "yes\nno\n",
    });
    expect(problems).toEqual({});
    expect(options).toEqual({
      enableThinking: false,
      seed: 2n ** 64n - 1n,
      maxOutputTokens: 40,
      temperature: 0.5,
      stopSequences: ["END", "\n\n"],
      responseFormat: { choices: ["yes", "no"] },
    });
  });

  test("what is no number is a problem of its field alone", () => {
    const { options, problems } = optionsOf({ topK: "1.5", minP: "some", topP: "0.9", seed: "-1" });
    expect(options).toEqual({ topP: 0.9 });
    expect(Object.keys(problems).sort()).toEqual(["minP", "seed", "topK"]);
    expect(problems.minP).toContain("“some”");
  });

  test("a format of which nothing is written yet is a problem", () => {
    expect(optionsOf({ formatKind: "regex" }).problems.formatText).toBeDefined();
    expect(optionsOf({ formatText: "left over" })).toEqual({ options: {}, problems: {} });
  });

  test("tools are read in the contract's shape and in OpenAI's", () => {
    const plain = { name: "get_time", description: "Time" };
    const wrapped = { type: "function", function: plain };
    expect(optionsOf({ tools: JSON.stringify([plain, wrapped]) }).options.tools).toEqual([
      plain,
      plain,
    ]);
    expect(optionsOf({ tools: EXAMPLE_TOOLS }).options.tools).toEqual(JSON.parse(EXAMPLE_TOOLS));
    expect(optionsOf({ tools: '{"name": "a"}' }).problems.tools).toContain("list");
    expect(optionsOf({ tools: "[{}]" }).problems.tools).toContain("tool 0");
    expect(optionsOf({ tools: "[" }).problems.tools).toBeDefined();
  });

  test("what the contract does not know of a tool stays behind, so that no client refuses it", () => {
    const known = { name: "f", parameters: { type: "object", strict: true } };
    const wrapped = { type: "function", function: { ...known, strict: true } };
    const plain = { ...known, strict: true };
    expect(optionsOf({ tools: JSON.stringify([wrapped, plain]) }).options.tools).toEqual([
      known,
      known,
    ]);
  });
});

describe("two runs", () => {
  test("the second run takes what is not set for it from the first", () => {
    const set = withField(withField(NO_SETTINGS, "a", "topK", "5"), "b", "temperature", "0");
    expect(fieldsOf(set, "b")).toEqual({ ...NO_FIELDS, topK: "5", temperature: "0" });
    expect(spoken(set, "a")).toEqual(["topK"]);
    expect(spoken(set, "b")).toEqual(["temperature"]);
  });

  test("a field that says the same on both sides is one again", () => {
    const differing = withField(NO_SETTINGS, "b", "topK", "5");
    expect(withField(differing, "a", "topK", "5").b).toEqual({});
    expect(withField(differing, "b", "topK", "").b).toEqual({});
  });

  test("two runs with the same settings have two seeds", () => {
    const [a, b] = paired([{ seed: 7n }, { seed: 7n }], false);
    expect(a?.seed).toBe(7n);
    expect(b?.seed).not.toBe(7n);
  });

  test("two runs with different settings have one seed, drawn if need be", () => {
    const [a, b] = paired([{}, { topK: 1 }], true);
    expect(a?.seed).toBeDefined();
    expect(b).toEqual({ topK: 1, seed: a?.seed });
    expect(paired([{ seed: 1n }, { seed: 2n }], true)[1]?.seed).toBe(2n);
  });
});

describe("settings that are kept", () => {
  test("settings come back as they were", () => {
    const set = { ...withField(NO_SETTINGS, "b", "seed", "4"), comparing: true };
    expect(readSettings(fromJson(toJson(set)))).toEqual(set);
  });

  test("garbage is no settings, and a field of another type is unset", () => {
    for (const kept of [undefined, null, 3, "x", [], { a: 3, b: null }]) {
      expect(readSettings(kept)).toEqual(NO_SETTINGS);
    }
    expect(readSettings({ a: { seed: 3, topK: "2", more: "x" } }).a).toEqual({
      ...NO_FIELDS,
      topK: "2",
    });
  });

  test("a browser that keeps nothing is as one that was never here", () => {
    const broken = {
      getItem: () => "{",
      setItem: () => {
        throw new Error("full");
      },
      removeItem: () => undefined,
    };
    expect(new Store(broken).get("x")).toBeUndefined();
    expect(new Store(broken).set("x", 1)).toBe(false);
    expect(new Store(undefined).get("x")).toBeUndefined();
  });
});

describe("what the server refuses", () => {
  test("a path of the contract leads to its field, whatever is inside", () => {
    expect(fieldAt("input.sampling.top_p")).toBe("topP");
    expect(fieldAt("input.sampling.temperature_max")).toBeUndefined();
    expect(fieldAt("input.prompt.chat.tools[1].name")).toBe("tools");
    expect(fieldAt("sampling.response_format.json_schema")).toBe("formatText");
    expect(fieldAt("input.prompt.chat.messages[0].parts")).toBeUndefined();
  });

  test("a refusal is shown in the server's words", () => {
    const violations = [{ field: "input.sampling.temperature", description: "1000 is outside" }];
    expect(blamed(violations)).toEqual({ temperature: "1000 is outside" });
  });
});
