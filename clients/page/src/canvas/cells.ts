// A canvas as a row of things to draw: its tokens, labels where thoughts and calls begin, and the
// number of those that are left out. Pure.

import type { DraftTokens, Span } from "@palimpsest/client";
import { specialsName } from "./specials.ts";

export type Item =
  | { kind: "cell"; position: number; span: Span["kind"] | undefined }
  | { kind: "label"; position: number; span: Span["kind"] }
  | { kind: "more"; position: number; count: number; name: string; span?: undefined };

/** Equal special tokens in a row that are drawn; of more, the rest is counted. */
const DRAWN = 3;

export function itemsOf(tokens: DraftTokens, spans: readonly Span[]): Item[] {
  const items: Item[] = [];
  const kinds = kindsOf(tokens.ids.length, spans);
  const labelled = new Map(spans.map((span) => [span.start, span.kind]));
  for (let position = 0; position < tokens.ids.length;) {
    const length = runAt(tokens, position);
    const drawn = length > DRAWN + 1 ? DRAWN : length;
    for (let i = position; i < position + drawn; i++) {
      const label = labelled.get(i);
      if (label) items.push({ kind: "label", position: i, span: label });
      items.push({ kind: "cell", position: i, span: kinds[i] });
    }
    if (drawn < length) {
      const name = specialsName(tokens.ids[position]!);
      items.push({ kind: "more", position: position + drawn, count: length - drawn, name });
    }
    position += length;
  }
  return items;
}

/** Whether a position holds a token without text. */
export function isSpecial(tokens: DraftTokens, position: number): boolean {
  return tokens.texts[position] === "";
}

/** Length of the run of equal special tokens that begins at a position; 1 for all other tokens. */
function runAt(tokens: DraftTokens, start: number): number {
  let end = start + 1;
  if (!isSpecial(tokens, start)) return 1;
  while (tokens.ids[end] === tokens.ids[start] && isSpecial(tokens, end)) end += 1;
  return end - start;
}

function kindsOf(count: number, spans: readonly Span[]): (Span["kind"] | undefined)[] {
  const kinds = new Array<Span["kind"] | undefined>(count).fill(undefined);
  for (const { kind, start, length } of spans) kinds.fill(kind, start, start + length);
  return kinds;
}
