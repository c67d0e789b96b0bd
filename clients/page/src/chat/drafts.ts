// A draft as text: what it would say if it were committed now. Pure.

import type { Draft } from "@palimpsest/client";

export interface DraftText {
  text: string;
  thought: string;
  /** As the model writes it. */
  call: string;
}

type Kind = keyof DraftText;

const CHANNEL = /^thought\n/;

/** The answer ends at the first special token that is a part of nothing. */
export function draftText(draft: Draft): DraftText {
  const written: Record<Kind, string> = { text: "", thought: "", call: "" };
  const texts = draft.tokens?.texts ?? [];
  const kinds = kindsOf(draft, texts.length);
  for (const [position, text] of texts.entries()) {
    const kind = kinds[position]!;
    if (kind === "text" && text === "") break;
    written[kind] += text;
  }
  const opens = draft.spans[0]?.kind === "thought" && texts[draft.spans[0].start] === "";
  if (opens) written.thought = written.thought.replace(CHANNEL, "");
  return written;
}

function kindsOf(draft: Draft, count: number): Kind[] {
  const kinds = new Array<Kind>(count).fill("text");
  for (const { kind, start, length } of draft.spans) {
    kinds.fill(kind === "thought" ? "thought" : "call", start, start + length);
  }
  return kinds;
}
