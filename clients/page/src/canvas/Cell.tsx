import type { Span } from "@palimpsest/client";
import { memo } from "./memo.ts";
import { levelOf } from "./ramp.ts";
import { specialName } from "./specials.ts";
import { aboutToken, type TokenFacts } from "./tokenFacts.ts";

interface Props extends TokenFacts {
  differs: boolean;
  span: Span["kind"] | undefined;
}

/** One token. Its props are plain values, so it is drawn again only when one of them changes. */
export const Cell = memo((props: Props) => (
  <span class={classOf(props)} data-position={props.position} title={aboutToken(props)}>
    {props.special ? specialName(props.id) : written(props.text ?? `#${props.id}`)}
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

function classOf({ text, special, confidence, accepted, changed, differs, span }: Props): string {
  let name = "canvas-cell";
  const level = levelOf(confidence);
  if (level !== undefined) name += ` canvas-heat-${level}`;
  if (special) name += " canvas-special";
  else if (text !== undefined && text.trim() === "") name += " canvas-blank";
  if (accepted) name += " canvas-accepted";
  if (changed) name += " canvas-changed";
  if (differs) name += " canvas-differs";
  if (span) name += ` canvas-${span}`;
  return name;
}

/** Line breaks are shown and made. */
function written(text: string) {
  if (!text.includes("\n")) return text;
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
