// From the messages of the contract to plain values.
//
// Events of a kind that this version does not know are skipped, as the contract allows a newer
// server to send some.

import { ContentKind } from "./gen/palimpsest/v1/canvas_pb.js";
import type {
  CanvasCommit,
  CanvasSnapshot,
  ContentSpan,
  TokenLogprobs as TokenLogprobsMessage,
} from "./gen/palimpsest/v1/canvas_pb.js";
import type { ToolCall as ToolCallMessage } from "./gen/palimpsest/v1/chat_pb.js";
import { FinishReason as Reason } from "./gen/palimpsest/v1/generation_pb.js";
import type {
  Completed as CompletedMessage,
  Speeds as SpeedsMessage,
  Started as StartedMessage,
  StreamGenerateResponse,
  Usage as UsageMessage,
} from "./gen/palimpsest/v1/generation_pb.js";
import type { Model as ModelMessage } from "./gen/palimpsest/v1/model_pb.js";
import type { SamplingParameters } from "./gen/palimpsest/v1/sampling_pb.js";
import type { DraftReader } from "./drafts.js";
import type {
  AnswerEvent,
  Commit,
  Completed,
  Draft,
  FinishReason,
  Span,
  Speeds,
  Started,
  StepFigures,
  TokenLogprobs,
  ToolCall,
  Usage,
} from "./events.js";
import { milliseconds } from "./units.js";

/** A served model. */
export interface Model {
  name: string;
  canvasLength: number;
  /** Prompt and answer together. */
  maxContextTokens: number;
  vocabularySize: number;
  parameterCount: bigint;
  device: string;
  dtype: string;
  /** What a request leaves unset; a message of `@palimpsest/client/v1`. */
  defaults: SamplingParameters | undefined;
}

const FINISH_REASONS: Partial<Record<Reason, FinishReason>> = {
  [Reason.STOP]: "stop",
  [Reason.LENGTH]: "length",
  [Reason.STOP_SEQUENCE]: "stop_sequence",
  [Reason.TOOL_CALLS]: "tool_calls",
};

/** The event of one message of a stream; undefined if this version does not know its kind. */
export function eventOf(
  response: StreamGenerateResponse,
  drafts: DraftReader,
): AnswerEvent | undefined {
  const { event } = response;
  const sequence = Number(response.sequence);
  switch (event.case) {
    case "started":
      return started(sequence, event.value);
    case "snapshot":
      return draft(sequence, event.value, drafts);
    case "commit":
      return commit(sequence, event.value);
    case "completed":
      return completed(sequence, event.value);
    default:
      return undefined;
  }
}

export function usageOf(usage: UsageMessage | undefined): Usage {
  return {
    promptTokens: usage?.promptTokens ?? 0,
    cachedPromptTokens: usage?.cachedPromptTokens ?? 0,
    outputTokens: usage?.outputTokens ?? 0,
    thinkingTokens: usage?.thinkingTokens ?? 0,
    canvases: usage?.canvases ?? 0,
    denoisingSteps: usage?.denoisingSteps ?? 0,
  };
}

export function modelOf(model: ModelMessage): Model {
  const { name, canvasLength, maxContextTokens, vocabularySize, parameterCount } = model;
  const { device, dtype, defaults } = model;
  return {
    name,
    canvasLength,
    maxContextTokens,
    vocabularySize,
    parameterCount,
    device,
    dtype,
    defaults,
  };
}

function started(sequence: number, message: StartedMessage): Started {
  const { requestId, model, canvasLength, promptTokens, cachedPromptTokens, seed } = message;
  return {
    kind: "started",
    sequence,
    requestId,
    model,
    canvasLength,
    promptTokens,
    cachedPromptTokens,
    seed,
    queueMs: milliseconds(message.queueDuration),
    prefillMs: milliseconds(message.prefillDuration),
  };
}

function draft(sequence: number, message: CanvasSnapshot, drafts: DraftReader): Draft {
  const { candidateIndex, canvasIndex, step, maxDenoisingSteps, content, thought } = message;
  return {
    kind: "draft",
    sequence,
    candidateIndex,
    canvasIndex,
    step,
    maxDenoisingSteps,
    figures: figures(message),
    tokens: drafts.read(BigInt(sequence), message),
    text: content.case === "text" ? content.value : "",
    thought,
    spans: message.spans.flatMap(span),
  };
}

function commit(sequence: number, message: CanvasCommit): Commit {
  const { candidateIndex, canvasIndex, steps, converged, tokenIds } = message;
  return {
    kind: "commit",
    sequence,
    candidateIndex,
    canvasIndex,
    steps,
    converged,
    tokenIds,
    textDelta: message.textDelta,
    thoughtDelta: message.thoughtDelta,
    toolCalls: message.toolCalls.map(toolCall),
    logprobs: message.logprobs.map(logprobs),
    denoiseMs: milliseconds(message.denoiseDuration),
    figures: figures(message),
  };
}

function completed(sequence: number, message: CompletedMessage): Completed {
  return {
    kind: "completed",
    sequence,
    candidateIndex: message.candidateIndex,
    finishReason: FINISH_REASONS[message.finishReason] ?? "other",
    usage: usageOf(message.usage),
    speeds: speeds(message.speeds),
  };
}

function figures(message: CanvasSnapshot | CanvasCommit): StepFigures {
  const { timing, temperature, acceptedCount, changedCount, meanEntropy } = message;
  const fromMicros = (micros: number | undefined) =>
    micros === undefined ? undefined : micros / 1e3;
  return {
    stepMs: (timing?.stepMicros ?? 0) / 1e3,
    queueMs: fromMicros(timing?.queueMicros),
    deviceMs: fromMicros(timing?.deviceMicros),
    batchSize: timing?.batchSize ?? 0,
    temperature,
    acceptedCount,
    changedCount,
    meanEntropy,
  };
}

function speeds(message: SpeedsMessage | undefined): Speeds {
  return {
    outputTokensPerSecond: message?.outputTokensPerSecond ?? 0,
    effectiveTokensPerSecond: message?.effectiveTokensPerSecond ?? 0,
    stepsPerCanvas: message?.stepsPerCanvas ?? 0,
    tokensPerForward: message?.tokensPerForward ?? 0,
    timeToFirstDraftMs: milliseconds(message?.timeToFirstDraft),
    timeToFirstCommitMs: milliseconds(message?.timeToFirstCommit),
  };
}

function span({ kind, start, length }: ContentSpan): Span[] {
  if (kind === ContentKind.THOUGHT) return [{ kind: "thought", start, length }];
  if (kind === ContentKind.TOOL_CALL) return [{ kind: "tool_call", start, length }];
  return [];
}

function toolCall(call: ToolCallMessage): ToolCall {
  return { id: call.id, name: call.name, arguments: call.arguments ?? {} };
}

function logprobs({ logprob, top }: TokenLogprobsMessage): TokenLogprobs {
  return { logprob, top: top.map((one) => ({ tokenId: one.tokenId, logprob: one.logprob })) };
}
