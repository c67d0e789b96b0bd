import { describe, expect, it } from "vitest";
import {
  differences,
  pairedLengths,
  settingsThatDiffer,
  stopAfter,
} from "../../src/canvas/comparison.ts";
import { canvas, commit, draft, recorded, runOf } from "./recorded.ts";

describe("two runs beside each other", () => {
  const short = canvas([draft(1, [7]), draft(3, [8])], commit(4, [8]));

  it("have as many steps of a canvas as the one that took more", () => {
    const long = canvas([draft(1, [7]), draft(6, [8])]);
    const second = canvas([draft(2, [7])], undefined, 1);
    expect(pairedLengths([runOf([short, second]), runOf([long])])).toEqual([6, 2]);
    expect(pairedLengths([runOf([]), runOf([])])).toEqual([]);
  });

  it("show the newest draft that is not later than the step", () => {
    expect([1, 2, 3].map((step) => stopAfter(short, step))).toEqual([0, 0, 1]);
  });

  it("stay as they settled when the other takes more steps", () => {
    expect([4, 5, 48].map((step) => stopAfter(short, step))).toEqual([2, 2, 2]);
  });

  it("differ where their tokens do, and where only one has any", () => {
    const [one, other] = [draft(1, [7, 8, 9]).tokens, draft(1, [7, 5]).tokens];
    expect(differences(one, other)).toEqual([false, true, true]);
    expect(differences(one, undefined)).toEqual([]);
  });
});

describe("the settings of two runs", () => {
  it("differ by name, what one left out being the default", () => {
    const a = runOf([], { seed: 7, temperature: 0.5, drafts: true });
    const b = runOf([], { seed: 8, maxDenoisingSteps: 12, drafts: false });
    expect(settingsThatDiffer([a, b])).toEqual([
      { name: "seed", values: ["7", "8"] },
      { name: "temperature", values: ["0.5", "default"] },
      { name: "maxDenoisingSteps", values: ["default", "12"] },
    ]);
  });

  it("are the same if the seed that one asked for is the one that the other drew", () => {
    const asked = recorded("count");
    const drawn = { ...asked, asked: { ...asked.asked, options: {} } };
    expect(settingsThatDiffer([asked, drawn])).toEqual([]);
  });

  it("say which model answered, if two did", () => {
    const a = recorded("count");
    const b = { ...a, started: { ...a.started!, model: "another" } };
    expect(settingsThatDiffer([a, b])).toEqual([
      { name: "model", values: ["palimpsest-tiny", "another"] },
    ]);
  });

  it("say what was asked, if that differs: the newest message, or the conversation", () => {
    const asked = (...texts: string[]) => {
      const messages = texts.map((content) => ({ role: "user" as const, content }));
      return { ...runOf([]), asked: { messages, options: {} } };
    };
    expect(settingsThatDiffer([asked("one"), asked("two")])).toEqual([
      { name: "prompt", values: ["one", "two"] },
    ]);
    const conversation = settingsThatDiffer([asked("a", "x"), asked("b", "x")]);
    expect(conversation[0]?.values[0]).toContain('"content":"a"');
  });
});
