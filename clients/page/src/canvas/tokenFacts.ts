// What is known of one position, in words. Pure.

import { isSpecial } from "./cells.ts";
import type { Shown } from "./shown.ts";
import { specialName } from "./specials.ts";

export interface TokenFacts {
  position: number;
  id: number;
  text: string | undefined;
  special: boolean;
  /** 0 to 1. */
  confidence: number | undefined;
  /** Share of the largest possible, 0 to 1. */
  entropy: number | undefined;
  accepted: boolean;
  changed: boolean;
}

/** `shown` has tokens, and the position is one of theirs. */
export function factsOf({ tokens, changed }: Shown, position: number): TokenFacts {
  return {
    position,
    id: tokens!.ids[position]!,
    text: tokens!.texts[position],
    special: isSpecial(tokens!, position),
    confidence: tokens!.confidence[position],
    entropy: tokens!.entropy[position],
    accepted: tokens!.accepted[position] ?? false,
    changed: changed[position] ?? false,
  };
}

export function aboutToken(facts: TokenFacts): string {
  const parts = [`position ${facts.position}`, nameOf(facts), `token ${facts.id}`];
  if (isKnown(facts.confidence)) parts.push(`confidence ${percent(facts.confidence)}`);
  if (isKnown(facts.entropy)) parts.push(`entropy ${percent(facts.entropy)} of the largest`);
  if (facts.accepted) parts.push("accepted");
  if (facts.changed) parts.push("changed");
  return parts.join(" · ");
}

function nameOf({ id, text, special }: TokenFacts): string {
  if (special) return specialName(id);
  return text === undefined ? "no text" : JSON.stringify(text);
}

function isKnown(value: number | undefined): value is number {
  return value !== undefined && !Number.isNaN(value);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 || share > 0.9005 ? 1 : 0)} %`;
}
