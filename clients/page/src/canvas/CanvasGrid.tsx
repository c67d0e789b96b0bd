import { useSignal } from "@preact/signals";
import { Flow } from "./Flow.tsx";
import { Readout, Said } from "./Readout.tsx";
import type { Shown } from "./shown.ts";

interface Props {
  shown: Shown;
  /** Name of the canvas, for those who cannot see it. */
  label: string;
  /** Positions at which another run has another token. */
  differs?: readonly boolean[];
}

/** The tokens of a canvas in their places, as text flows. */
export function CanvasGrid({ shown, label, differs }: Props) {
  const inspected = useSignal<number | undefined>(undefined);
  const said = useSignal("");
  const { tokens } = shown;
  return (
    <div class="canvas-view">
      {tokens ? (
        <Flow
          tokens={tokens}
          shown={shown}
          label={label}
          differs={differs}
          inspected={inspected}
          said={said}
        />
      ) : (
        <p class="canvas-flow" aria-label={label}>
          {shown.text}
        </p>
      )}
      <Readout shown={shown} inspected={inspected} />
      <Said said={said} />
    </div>
  );
}
