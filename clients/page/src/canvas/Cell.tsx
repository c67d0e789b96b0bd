import type { DraftTokens, Span } from "@palimpsest/client";
import { isSpecial, type Item } from "./cells.ts";
import { memo } from "./memo.ts";
import { levelOf } from "./ramp.ts";
import type { Shown } from "./shown.ts";
import { specialName } from "./specials.ts";

interface Props {
  position: number;
  text: string;
  /** Its class. */
  name: string;
}

/** One token. Its props are plain values, so it is drawn again only when one of them changes. */
export const Cell = memo(({ position, text, name }: Props) => (
  <span class={name} data-position={position}>
    {text.includes("\n") ? withBreaks(text) : text}
  </span>
));

export const Label = memo(({ span }: { span: Span["kind"] }) => (
  <span class={`canvas-label canvas-label-${span}`}>{span === "thought" ? "thought" : "call"}</span>
));

export const More = memo(({ count, name }: { count: number; name: string }) => (
  <span class="canvas-more">
    +{count} {name}
  </span>
));

/** What stands in a cell. */
export function textOf(tokens: DraftTokens, position: number): string {
  const id = tokens.ids[position]!;
  return isSpecial(tokens, position) ? specialName(id) : (tokens.texts[position] ?? `#${id}`);
}

/** How a cell looks; `shown` has tokens. */
export function classOf(
  { tokens, changed }: Shown,
  { position, span }: Item,
  differs: boolean,
): string {
  let name = "canvas-cell";
  const level = levelOf(tokens!.confidence[position]);
  if (level !== undefined) name += ` canvas-heat-${level}`;
  if (isSpecial(tokens!, position)) name += " canvas-special";
  else if (tokens!.texts[position]?.trim() === "") name += " canvas-blank";
  if (tokens!.accepted[position]) name += " canvas-accepted";
  if (changed[position]) name += " canvas-changed";
  if (differs) name += " canvas-differs";
  if (span) name += ` canvas-${span}`;
  return name;
}

/** Line breaks are shown and made. */
function withBreaks(text: string) {
  return text.split("\n").map((line, i) =>
    i === 0
      ? line
      : [
          <i key={i} class="canvas-newline">
            ↵
          </i>,
          "\n",
          line,
        ],
  );
}
