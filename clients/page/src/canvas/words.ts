// What is said of a run and of a place in it. Pure.

import type { Run } from "../run.ts";
import type { Shown } from "./shown.ts";

export function placeText(canvas: number, shown: Shown): string {
  return `canvas ${canvas + 1}, step ${shown.step} of ${shown.steps}`;
}

/** What the draft that is shown is. */
export function noteText(shown: Shown): string {
  return shown.settled ? "settled" : "draft";
}

/** Said aloud as canvases settle and the run ends; never a draft. */
export function stateText(run: Run): string {
  const settled = run.canvases.filter(({ commit }) => commit).length;
  const canvases = settled === 1 ? "1 canvas" : `${settled} canvases`;
  switch (run.state) {
    case "running":
      return settled > 0 ? `canvas ${settled} settled` : "";
    case "finished":
      return `finished with ${canvases}`;
    case "stopped":
      return `stopped after ${canvases}`;
    case "failed":
      return `failed after ${canvases}`;
  }
}
