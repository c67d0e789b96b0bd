// A run as JSON and back. JSON has neither whole numbers of 64 bits nor bytes: seeds are decimal
// strings, images base64. Shares are written in 255ths, as the server measures them: short, exact.
//
// What says how the call was made stays behind, since headers may hold a key.

import type {
  Answer,
  ChatMessage,
  ContentPart,
  Draft,
  DraftTokens,
  Started,
} from "@palimpsest/client";
import type { Asked, CanvasRun, Frame, Run } from "../run.ts";

const FORMAT = "palimpsest-run";
const VERSION = 1;

/** Throws TypeError for what no JSON can hold, such as a bigint in a tool's schema. */
export function runJson(run: Run): string {
  return JSON.stringify({ format: FORMAT, version: VERSION, run: written(run) });
}

/** The run that `runJson` wrote. Throws for text that is no run, or one of a later version. */
export function runFromJson(text: string): Run {
  const file = JSON.parse(text) as { format?: unknown; version?: unknown; run?: unknown } | null;
  if (file?.format !== FORMAT) throw new Error(`this is no run: its format is not ${FORMAT}`);
  if (file.version !== VERSION) {
    throw new Error(`the run is of version ${file.version}; this page reads version ${VERSION}`);
  }
  return read(file.run as WrittenRun);
}

type Seeded<T extends { seed?: unknown }> = Omit<T, "seed"> & {
  seed: string | Exclude<T["seed"], bigint>;
};
type Shown = Exclude<ContentPart, { text: string }>;
type WrittenPart =
  | { text: string }
  | (Omit<Extract<Shown, { image: unknown }>, "image"> & { imageBase64: string })
  | (Omit<Extract<Shown, { video: unknown }>, "video"> & { videoBase64: string });
type WrittenMessage = Omit<ChatMessage, "content"> & { content?: string | WrittenPart[] };
type WrittenTokens = Omit<DraftTokens, "confidence" | "accepted" | "entropy"> & {
  confidence255: number[];
  accepted: number[];
  entropy255: number[];
};
type WrittenDraft = Omit<Draft, "tokens"> & { tokens?: WrittenTokens };
type WrittenFrame = Omit<Frame, "draft"> & { draft: WrittenDraft };

interface WrittenRun extends Omit<Run, "asked" | "started" | "answer" | "canvases"> {
  asked: { messages: WrittenMessage[]; options: Seeded<Asked["options"]> };
  started: Seeded<Started> | undefined;
  answer: Omit<Seeded<Answer>, "draft"> & { draft: WrittenDraft | undefined };
  canvases: (Omit<CanvasRun, "frames"> & { frames: WrittenFrame[] })[];
}

function written(run: Run): WrittenRun {
  const { asked, started, answer, canvases } = run;
  const { signal: _, headers: __, timeoutMs: ___, ...options } = asked.options;
  return {
    ...run,
    asked: {
      messages: asked.messages.map(writtenMessage),
      options: { ...options, seed: writtenSeed(options.seed) },
    },
    started: started && { ...started, seed: writtenSeed(started.seed) },
    answer: {
      ...answer,
      seed: writtenSeed(answer.seed),
      draft: answer.draft && writtenDraft(answer.draft),
    },
    canvases: canvases.map((canvas) => ({
      ...canvas,
      frames: canvas.frames.map((frame) => ({ ...frame, draft: writtenDraft(frame.draft) })),
    })),
  };
}

function read(run: WrittenRun): Run {
  const { asked, started, answer, canvases } = run;
  return {
    ...run,
    error: run.error,
    asked: {
      messages: asked.messages.map(readMessage),
      options: { ...asked.options, seed: readSeed(asked.options.seed) },
    },
    started: started && { ...started, seed: readSeed(started.seed) },
    answer: {
      ...answer,
      seed: readSeed(answer.seed),
      draft: answer.draft && readDraft(answer.draft),
    },
    canvases: canvases.map((canvas) => ({
      ...canvas,
      commit: canvas.commit,
      frames: canvas.frames.map((frame) => ({ ...frame, draft: readDraft(frame.draft) })),
    })),
  };
}

/** A number stays one. */
function writtenSeed<T>(seed: T) {
  return typeof seed === "bigint" ? seed.toString() : (seed as Exclude<T, bigint>);
}

function readSeed<T>(seed: T) {
  return typeof seed === "string" ? BigInt(seed) : (seed as Exclude<T, string>);
}

function writtenMessage(message: ChatMessage): WrittenMessage {
  const { content, ...rest } = message;
  if (content === undefined || typeof content === "string") return message as WrittenMessage;
  return { ...rest, content: content.map(writtenPart) };
}

function readMessage(message: WrittenMessage): ChatMessage {
  const { content, ...rest } = message;
  if (content === undefined || typeof content === "string") return message as ChatMessage;
  return { ...rest, content: content.map(readPart) } as ChatMessage;
}

function writtenPart(part: ContentPart): WrittenPart {
  if ("text" in part) return part;
  if ("image" in part) {
    const { image, ...rest } = part;
    return { ...rest, imageBase64: base64(image) };
  }
  const { video, ...rest } = part;
  return { ...rest, videoBase64: base64(video) };
}

function readPart(part: WrittenPart): ContentPart {
  if ("text" in part) return part;
  if ("imageBase64" in part) {
    const { imageBase64, ...rest } = part;
    return { ...rest, image: bytes(imageBase64) };
  }
  const { videoBase64, ...rest } = part;
  return { ...rest, video: bytes(videoBase64) };
}

function writtenDraft(draft: Draft): WrittenDraft {
  const { tokens, ...rest } = draft;
  if (tokens === undefined) return rest;
  const { confidence, accepted, entropy, ...plain } = tokens;
  return {
    ...rest,
    tokens: {
      ...plain,
      confidence255: confidence.map((share) => Math.round(share * 255)),
      accepted: accepted.map(Number),
      entropy255: entropy.map((share) => Math.round(share * 255)),
    },
  };
}

function readDraft(draft: WrittenDraft): Draft {
  const { tokens, ...rest } = draft;
  if (tokens === undefined) return { ...rest, tokens };
  const { confidence255, accepted, entropy255, ...plain } = tokens;
  return {
    ...rest,
    tokens: {
      ...plain,
      confidence: confidence255.map((count) => count / 255),
      accepted: accepted.map(Boolean),
      entropy: entropy255.map((count) => count / 255),
    },
  };
}

export function base64(octets: Uint8Array): string {
  // Not all at once: a function takes only so many arguments.
  let binary = "";
  for (let start = 0; start < octets.length; start += 8_192) {
    binary += String.fromCharCode(...octets.subarray(start, start + 8_192));
  }
  return btoa(binary);
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
