// An answer as far as its events have told it. Pure: what an event makes of an answer is a new one,
// as user interfaces like it.

import type {
  AnswerEvent,
  Commit,
  Draft,
  FinishReason,
  Speeds,
  TokenLogprobs,
  ToolCall,
  Usage,
} from "./events.js";

export interface Answer {
  /** Which candidate this is; 0 unless `candidateCount` is above 1. */
  candidateIndex: number;
  /** Empty until it has started. */
  requestId: string;
  model: string;
  /** The seed that gives this answer alone; undefined until it has started. */
  seed: bigint | undefined;
  /** Without thought and calls. */
  text: string;
  thought: string;
  toolCalls: readonly ToolCall[];
  /** All of them, thought and calls included. */
  tokenIds: readonly number[];
  /** One per token if they were asked for. */
  logprobs: readonly TokenLogprobs[];
  /** The canvas that is being written; undefined between canvases and without drafts. */
  draft: Draft | undefined;
  /** Undefined until it is complete. */
  finishReason: FinishReason | undefined;
  usage: Usage | undefined;
  speeds: Speeds | undefined;
}

/** An answer that is complete. */
export interface FinishedAnswer extends Answer {
  seed: bigint;
  finishReason: FinishReason;
  usage: Usage;
  speeds: Speeds;
}

const SEEDS = 2n ** 64n;

/** An answer of which nothing has arrived. */
export function emptyAnswer(candidateIndex = 0): Answer {
  return {
    candidateIndex,
    requestId: "",
    model: "",
    seed: undefined,
    text: "",
    thought: "",
    toolCalls: [],
    tokenIds: [],
    logprobs: [],
    draft: undefined,
    finishReason: undefined,
    usage: undefined,
    speeds: undefined,
  };
}

/** The answer after one more event; events of other candidates leave it as it is. */
export function advance(answer: Answer, event: AnswerEvent): Answer {
  if (event.kind === "started") {
    const { requestId, model } = event;
    const seed = (event.seed + BigInt(answer.candidateIndex)) % SEEDS;
    return { ...answer, requestId, model, seed };
  }
  if (event.candidateIndex !== answer.candidateIndex) return answer;
  switch (event.kind) {
    case "draft":
      return { ...answer, draft: event };
    case "commit":
      return withCommit(answer, event);
    case "completed": {
      const { finishReason, usage, speeds } = event;
      return { ...answer, draft: undefined, finishReason, usage, speeds };
    }
  }
}

export function isFinished(answer: Answer): answer is FinishedAnswer {
  return answer.seed !== undefined && answer.finishReason !== undefined;
}

function withCommit(answer: Answer, commit: Commit): Answer {
  return {
    ...answer,
    draft: undefined,
    text: answer.text + commit.textDelta,
    thought: answer.thought + commit.thoughtDelta,
    toolCalls: [...answer.toolCalls, ...commit.toolCalls],
    tokenIds: [...answer.tokenIds, ...commit.tokenIds],
    logprobs: [...answer.logprobs, ...commit.logprobs],
  };
}
