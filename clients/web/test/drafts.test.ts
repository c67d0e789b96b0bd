import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CanvasSnapshotSchema, type CanvasSnapshot } from "../src/gen/palimpsest/v1/canvas_pb.js";
import { DraftReader } from "../src/drafts.js";

type Content = NonNullable<MessageInitShape<typeof CanvasSnapshotSchema>["content"]>;

const KEYFRAME: Content = {
  case: "keyframe",
  value: {
    tokenIds: [1, 2, 3],
    tokenTexts: ["a", "b", ""],
    confidence: Uint8Array.of(255, 51, 0),
    acceptedMask: Uint8Array.of(0b101),
    entropy: Uint8Array.of(0, 51, 255),
  },
};

function snapshot(content: Content, canvasIndex = 0, candidateIndex = 0): CanvasSnapshot {
  return create(CanvasSnapshotSchema, { canvasIndex, candidateIndex, content });
}

function delta(baseSequence: bigint): Content {
  return {
    case: "delta",
    value: {
      baseSequence,
      changedMask: Uint8Array.of(0b110),
      tokenIds: [7, 8],
      tokenTexts: ["x", "y"],
      confidence: Uint8Array.of(102, 255),
      acceptedMask: Uint8Array.of(0b010),
      entropy: Uint8Array.of(0, 0),
    },
  };
}

test("a keyframe tells every position's token, confidence, acceptance and entropy", () => {
  assert.deepEqual(new DraftReader().read(1n, snapshot(KEYFRAME)), {
    ids: [1, 2, 3],
    texts: ["a", "b", ""],
    confidence: [1, 0.2, 0],
    accepted: [true, false, true],
    entropy: [0, 0.2, 1],
  });
});

test("what was not asked for is empty", () => {
  const content: Content = { case: "keyframe", value: { tokenIds: [1] } };
  const tokens = new DraftReader().read(1n, snapshot(content));
  assert.deepEqual(tokens, { ids: [1], texts: [], confidence: [], accepted: [], entropy: [] });
});

test("a delta gives what a keyframe would have", () => {
  const reader = new DraftReader();
  reader.read(4n, snapshot(KEYFRAME));
  assert.deepEqual(reader.read(6n, snapshot(delta(4n))), {
    ids: [1, 7, 8],
    texts: ["a", "x", "y"],
    confidence: [1, 0.4, 1],
    accepted: [false, true, false],
    entropy: [0, 0, 0],
  });
});

test("a delta may change what a delta gave", () => {
  const reader = new DraftReader();
  reader.read(1n, snapshot(KEYFRAME));
  reader.read(2n, snapshot(delta(1n)));
  const content: Content = {
    case: "delta",
    value: {
      baseSequence: 2n,
      changedMask: Uint8Array.of(0b001),
      tokenIds: [5],
      tokenTexts: ["z"],
    },
  };
  assert.deepEqual(reader.read(3n, snapshot(content))?.ids, [5, 7, 8]);
});

test("a draft stays what it was when the next one changes it", () => {
  const reader = new DraftReader();
  const first = reader.read(1n, snapshot(KEYFRAME));
  reader.read(2n, snapshot(delta(1n)));
  assert.deepEqual(first?.ids, [1, 2, 3]);
});

test("canvases of candidates are kept apart", () => {
  const reader = new DraftReader();
  reader.read(1n, snapshot(KEYFRAME, 0, 0));
  reader.read(2n, snapshot(KEYFRAME, 3, 1));
  assert.deepEqual(reader.read(3n, snapshot(delta(1n), 0, 0))?.ids, [1, 7, 8]);
});

test("a delta of a canvas that is over is an error", () => {
  const reader = new DraftReader();
  reader.read(1n, snapshot(KEYFRAME, 0));
  assert.throws(() => reader.read(2n, snapshot(delta(1n), 1)), { code: "internal" });
});
