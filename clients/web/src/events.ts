// What comes back from a server, as plain values: no protobuf is needed to read them.
//
// Durations are milliseconds, as `Ms` says; indices count from 0, steps from 1.

/** `other` is a reason that this version of the client does not know. */
export type FinishReason = "stop" | "length" | "stop_sequence" | "tool_calls" | "other";

/** A call that the model made. Given back in a message, it is what a tool's result answers. */
export interface ToolCall {
  /** Unique in its conversation. */
  id: string;
  /** Of the tool; not necessarily one that was declared. */
  name: string;
  arguments: Record<string, unknown>;
}

/** Neighbouring positions of a draft that are not plain text. */
export interface Span {
  kind: "thought" | "tool_call";
  start: number;
  length: number;
}

/** The first event of a stream: the prompt is read and the first canvas begins. */
export interface Started {
  kind: "started";
  sequence: number;
  requestId: string;
  model: string;
  /** Tokens per canvas. */
  canvasLength: number;
  promptTokens: number;
  cachedPromptTokens: number;
  /** The seed in use: sent again with the same prompt, it gives the same answer. */
  seed: bigint;
  queueMs: number;
  prefillMs: number;
}

/** What is known of one denoising step. */
export interface StepFigures {
  stepMs: number;
  /** Since the canvas's previous pass; undefined where not measured. */
  queueMs: number | undefined;
  /** On the device; undefined where not measured. */
  deviceMs: number | undefined;
  /** Canvases that shared the pass. */
  batchSize: number;
  temperature: number;
  acceptedCount: number;
  /** Positions whose draft token differs from the step before. */
  changedCount: number;
  /** Nats per position. */
  meanEntropy: number;
}

/** The tokens of a draft, one entry per position. What was not asked for is empty. */
export interface DraftTokens {
  ids: readonly number[];
  /** Empty strings stand for tokens without text, such as padding. */
  texts: readonly string[];
  /** Probability of the token shown, 0 to 1, in steps of 1/255. */
  confidence: readonly number[];
  /** Whether the sampler accepted the position in this step. */
  accepted: readonly boolean[];
  /** Share of the largest possible entropy, 0 to 1, in steps of 1/255. */
  entropy: readonly number[];
}

/** The canvas being denoised. May be skipped: a slow reader gets the newest only. */
export interface Draft {
  kind: "draft";
  sequence: number;
  candidateIndex: number;
  canvasIndex: number;
  step: number;
  /** Steps this canvas takes at most. */
  maxDenoisingSteps: number;
  figures: StepFigures;
  /** Mode "tokens" only. */
  tokens: DraftTokens | undefined;
  /** Without thought and calls; mode "text" only. */
  text: string;
  /** The thought in it; mode "text" only. */
  thought: string;
  /** Which positions are not plain text; mode "tokens" only. */
  spans: readonly Span[];
}

/** Log-probabilities at one position, in nats and at temperature 1. */
export interface TokenLogprobs {
  /** Of the token in the answer. */
  logprob: number;
  /** The most probable tokens, most probable first. */
  top: readonly { tokenId: number; logprob: number }[];
}

/**
 * A canvas is final. Never skipped; all `textDelta`s joined are the answer, and all `thoughtDelta`s
 * the thought before it.
 */
export interface Commit {
  kind: "commit";
  sequence: number;
  candidateIndex: number;
  canvasIndex: number;
  /** Denoising steps it took. */
  steps: number;
  /** False when the step limit ended it. */
  converged: boolean;
  /** The answer's tokens of this canvas, without end token and padding. */
  tokenIds: readonly number[];
  textDelta: string;
  thoughtDelta: string;
  /** Calls that end in this canvas. */
  toolCalls: readonly ToolCall[];
  /** One per token if they were asked for. */
  logprobs: readonly TokenLogprobs[];
  /** From the start of its first step to the end of its last. */
  denoiseMs: number;
  /** Of its last step. */
  figures: StepFigures;
}

/** Counts of one answer. */
export interface Usage {
  promptTokens: number;
  cachedPromptTokens: number;
  outputTokens: number;
  thinkingTokens: number;
  canvases: number;
  denoisingSteps: number;
}

/** Speeds of one answer as the server measured them, from acceptance to the last commit. */
export interface Speeds {
  /** Answer tokens. */
  outputTokensPerSecond: number;
  /** Canvas tokens, padding included. */
  effectiveTokensPerSecond: number;
  stepsPerCanvas: number;
  /** Answer tokens per denoising step. */
  tokensPerForward: number;
  timeToFirstDraftMs: number;
  timeToFirstCommitMs: number;
}

/**
 * An answer is complete: the last event of a stream that went well, or of one candidate.
 *
 * Of an answer that took several calls, `speeds` and `usage.thinkingTokens` are the last call's.
 */
export interface Completed {
  kind: "completed";
  sequence: number;
  candidateIndex: number;
  finishReason: FinishReason;
  usage: Usage;
  speeds: Speeds;
}

export type AnswerEvent = Started | Draft | Commit | Completed;
