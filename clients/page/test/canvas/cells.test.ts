import { describe, expect, it } from "vitest";
import type { DraftTokens, Span } from "@palimpsest/client";
import { itemsOf } from "../../src/canvas/cells.ts";
import { aboutToken, factsOf } from "../../src/canvas/tokenFacts.ts";
import { shownAt } from "../../src/canvas/shown.ts";
import { draft, recorded } from "./recorded.ts";

const written = (tokens: DraftTokens, spans: Span[] = []) =>
  itemsOf(tokens, spans).map((item) => {
    if (item.kind === "cell") return `${item.position}${item.span ? ` ${item.span}` : ""}`;
    return item.kind === "more" ? `+${item.count} ${item.name}` : `[${item.span}]`;
  });

describe("the cells of a canvas", () => {
  it("leave out padding after a few", () => {
    const { tokens } = draft(1, [7, ...new Array<number>(40).fill(0)]);
    expect(written(tokens!)).toEqual(["0", "1", "2", "3", "+37 padding"]);
  });

  it("show a short run of padding whole, as a count would be as long", () => {
    expect(written(draft(1, [7, 0, 0, 0, 0, 7]).tokens!)).toHaveLength(6);
  });

  it("never leave out text, however often it repeats", () => {
    expect(written(draft(1, new Array<number>(20).fill(7)).tokens!)).toHaveLength(20);
  });

  it("have a label where a thought or a call begins, and its kind", () => {
    const spans: Span[] = [{ kind: "tool_call", start: 1, length: 2 }];
    expect(written(draft(1, [7, 8, 9, 7]).tokens!, spans)).toEqual([
      "0",
      "[tool_call]",
      "1 tool_call",
      "2 tool_call",
      "3",
    ]);
  });

  it("are made of a thought that a server wrote", () => {
    const { tokens, spans } = shownAt(recorded("think").canvases[0]!, 3);
    const items = written(tokens!, [...spans]);
    expect(items.slice(0, 2)).toEqual(["[thought]", "0 thought"]);
    expect(items.at(-1)).toBe("+37 padding");
  });
});

describe("a token", () => {
  it("is told with all that is known of it", () => {
    const shown = shownAt(recorded("think").canvases[0]!, 1);
    expect(aboutToken(factsOf(shown, 0))).toMatch(/^position 0 · <\|channel> · token 100 · /);
    expect(aboutToken(factsOf(shown, 1))).toContain(
      '"thought\\n" · token 482 · confidence 100.0 %',
    );
    expect(aboutToken(factsOf(shown, 18))).toMatch(/entropy .+ % of the largest.* · changed$/);
  });

  it("is told without what is not known", () => {
    const facts = { position: 3, id: 9, text: undefined, special: false };
    const none = { confidence: NaN, entropy: undefined, accepted: false, changed: false };
    expect(aboutToken({ ...facts, ...none })).toBe("position 3 · no text · token 9");
  });
});
