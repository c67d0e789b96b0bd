// Drafts of one call, made whole: a delta changes an earlier snapshot of its canvas.

import type { CanvasSnapshot, TokenDelta, TokenKeyframe } from "./gen/palimpsest/v1/canvas_pb.js";
import type { DraftTokens } from "./events.js";
import { PalimpsestError } from "./errors.js";
import { bits, shares } from "./units.js";

/** Remembers what deltas may refer to: the snapshots of each candidate's current canvas. */
export class DraftReader {
  readonly #canvases = new Map<number, { index: number; drafts: Map<bigint, DraftTokens> }>();

  /** The tokens of a snapshot, which came as number `sequence` of its call. */
  read(sequence: bigint, snapshot: CanvasSnapshot): DraftTokens | undefined {
    const { content } = snapshot;
    if (content.case !== "keyframe" && content.case !== "delta") return undefined;
    const drafts = this.#draftsOf(snapshot);
    const tokens =
      content.case === "keyframe" ? whole(content.value) : changed(drafts, content.value);
    drafts.set(sequence, tokens);
    return tokens;
  }

  #draftsOf({ candidateIndex, canvasIndex }: CanvasSnapshot): Map<bigint, DraftTokens> {
    let canvas = this.#canvases.get(candidateIndex);
    if (canvas?.index !== canvasIndex) {
      canvas = { index: canvasIndex, drafts: new Map() };
      this.#canvases.set(candidateIndex, canvas);
    }
    return canvas.drafts;
  }
}

function whole(keyframe: TokenKeyframe): DraftTokens {
  return {
    ids: keyframe.tokenIds,
    texts: keyframe.tokenTexts,
    confidence: shares(keyframe.confidence),
    accepted: bits(keyframe.acceptedMask, keyframe.tokenIds.length),
    entropy: shares(keyframe.entropy),
  };
}

function changed(drafts: Map<bigint, DraftTokens>, delta: TokenDelta): DraftTokens {
  const base = drafts.get(delta.baseSequence);
  if (base === undefined) {
    const message = `the server changed draft ${delta.baseSequence}, which it has not sent`;
    throw new PalimpsestError("internal", message);
  }
  const count = base.ids.length;
  const positions = bits(delta.changedMask, count).flatMap((is, i) => (is ? [i] : []));
  return {
    ids: patched(base.ids, positions, delta.tokenIds),
    texts: patched(base.texts, positions, delta.tokenTexts),
    confidence: patched(base.confidence, positions, shares(delta.confidence)),
    accepted: bits(delta.acceptedMask, count),
    entropy: patched(base.entropy, positions, shares(delta.entropy)),
  };
}

function patched<T>(base: readonly T[], positions: number[], values: readonly T[]): readonly T[] {
  if (base.length === 0) return base;
  const copy = [...base];
  positions.forEach((position, i) => {
    const value = values[i];
    if (value !== undefined) copy[position] = value;
  });
  return copy;
}
