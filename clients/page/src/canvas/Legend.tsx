import { memo } from "./memo.ts";
import { LEVELS } from "./ramp.ts";

/** What the colours and marks of a canvas mean. */
export const Legend = memo(() => (
  <p class="canvas-readout canvas-legend">
    <span>
      guess
      <span class="canvas-ramp" role="img" aria-label="from warm and strong to pale">
        {Array.from({ length: LEVELS }, (_, level) => (
          <i key={level} class={`canvas-heat-${level}`} />
        ))}
      </span>
      sure
    </span>
    <span>
      <i class="canvas-key canvas-accepted">a</i> accepted
    </span>
    <span>
      <i class="canvas-key canvas-key-changed">a</i> changed
    </span>
  </p>
));
