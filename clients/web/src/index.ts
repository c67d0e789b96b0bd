// A client of a Palimpsest server for browsers and Node: a text-diffusion model, watched while it
// writes. `createClient` is where to begin.

export { advance, emptyAnswer } from "./answer.js";
export type { Answer, FinishedAnswer } from "./answer.js";
export { Client, createClient } from "./client.js";
export type { CallOptions, ClientOptions, GenerateOptions } from "./client.js";
export type { DecideOptions, Decision, Decisions, LabelScore, Question } from "./decisions.js";
export { PalimpsestError } from "./errors.js";
export type { ErrorCode, FieldViolation } from "./errors.js";
export type * from "./events.js";
export type {
  ChatMessage,
  ChatOptions,
  ContentPart,
  RawText,
  Tool,
  ToolChoice,
} from "./prompts.js";
export type {
  Canvas,
  DraftOptions,
  Drafts,
  Effort,
  Priority,
  ResponseFormat,
  Sampling,
} from "./requests.js";
export type { Model } from "./responses.js";
export type { AnswerStream } from "./stream.js";
