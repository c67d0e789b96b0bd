import type { Signal } from "@preact/signals";
import { Legend } from "./Legend.tsx";
import type { Shown } from "./shown.ts";
import { aboutToken, factsOf } from "./tokenFacts.ts";

interface Props {
  shown: Shown;
  inspected: Signal<number | undefined>;
}

/** The token under the pointer or the keyboard's mark, and the legend while there is none. */
export function Readout({ shown, inspected }: Props) {
  const position = inspected.value;
  if (shown.tokens === undefined) return null;
  if (position === undefined || position >= shown.tokens.ids.length) return <Legend />;
  return <p class="canvas-readout">{aboutToken(factsOf(shown, position))}</p>;
}

/** What is read aloud: where the keyboard's mark was moved to, never a draft that changes. */
export function Said({ said }: { said: Signal<string> }) {
  return (
    <span class="canvas-unseen" role="status">
      {said.value}
    </span>
  );
}
