// From the options of a call to the messages of the contract. Bounds are the server's business.

import {
  clone,
  create,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { isFieldError } from "@bufbuild/protobuf/reflect";
import {
  PreviewMode,
  type CanvasControlSchema,
  type PreviewOptionsSchema,
  type TemplateSpanSchema,
} from "./gen/palimpsest/v1/canvas_pb.js";
import {
  Priority as PriorityValue,
  StreamGenerateRequestSchema,
  type StreamGenerateRequest,
} from "./gen/palimpsest/v1/generation_pb.js";
import {
  Effort as EffortValue,
  SamplingParametersSchema,
  type ResponseFormatSchema,
} from "./gen/palimpsest/v1/sampling_pb.js";
import { invalidField } from "./errors.js";
import { promptOf, type ChatOptions, type PromptSource } from "./prompts.js";

export type Effort = "low" | "medium" | "high";
export type Priority = "low" | "normal" | "high";

/** What the text of an answer must be. */
export type ResponseFormat =
  /** A JSON Schema, as text or parsed; properties are written in its order. */
  | { jsonSchema: string | Record<string, unknown> }
  /** An expression that matches the whole text. */
  | { regex: string }
  /** Texts of which the answer is one. */
  | { choices: readonly string[] };

/**
 * How an answer is sampled: the fields of `SamplingParameters`, whose comments say what they mean.
 * Left out means the model's default.
 */
export interface Sampling {
  maxOutputTokens?: number;
  maxDenoisingSteps?: number;
  effort?: Effort;
  thinkingBudget?: number;
  entropyBound?: number;
  temperatureMax?: number;
  temperatureMin?: number;
  confidenceThreshold?: number;
  stabilityThreshold?: number;
  seed?: number | bigint;
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  logitBias?: Readonly<Record<number, number>>;
  bannedTokenIds?: readonly number[];
  allowedTokenIds?: readonly number[];
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  stopSequences?: readonly string[];
  stopTokenIds?: readonly number[];
  logprobs?: number;
  candidateCount?: number;
  responseFormat?: ResponseFormat;
}

/** What a canvas starts from and keeps; positions count from the answer's first token. */
export interface Canvas {
  startingTokenIds?: readonly number[];
  /** Those of `startingTokenIds` that stay. */
  pinnedPositions?: readonly number[];
  /** Literals, and gaps as their number of tokens; or text with `[[8]]` for a gap of 8 tokens. */
  template?: string | readonly (string | number)[];
  /** Whether the answer is one canvas. */
  readOnly?: boolean;
  canvasLength?: number;
}

/** Which drafts a stream brings. */
export interface DraftOptions {
  /** "tokens" unless told otherwise. */
  mode?: "metadata" | "text" | "tokens";
  everyNSteps?: number;
  /** Drafts per second at most; left out means the server's default, 30. */
  maxRateHz?: number;
  /** These are for mode "tokens". On unless told otherwise: confidence, accepted and texts. */
  confidence?: boolean;
  accepted?: boolean;
  texts?: boolean;
  entropy?: boolean;
  /** Let the server send only what changed. */
  deltas?: boolean;
}

/** None, those of `DraftOptions`' defaults, or others. */
export type Drafts = boolean | DraftOptions;

/** What a connection says about all of its requests. */
export interface About {
  model: string;
  share: string;
  priority: Priority;
}

export interface Asked {
  source: PromptSource;
  chat: ChatOptions;
  sampling: Sampling;
  canvas: Canvas | undefined;
  drafts: Drafts;
  requestId: string;
}

const MODES = {
  metadata: PreviewMode.METADATA,
  text: PreviewMode.TEXT,
  tokens: PreviewMode.TOKENS,
};
const PRIORITIES = {
  low: PriorityValue.LOW,
  normal: PriorityValue.NORMAL,
  high: PriorityValue.HIGH,
};
const EFFORTS = { low: EffortValue.LOW, medium: EffortValue.MEDIUM, high: EffortValue.HIGH };
const GAP = /\[\[(\d+)\]\]/;

/** Throws `invalid_argument` for what no request can hold. */
export function streamRequest(about: About, asked: Asked): StreamGenerateRequest {
  return written(StreamGenerateRequestSchema, "input", {
    input: {
      model: about.model,
      share: about.share,
      priority: chosen(PRIORITIES, about.priority, "input.priority"),
      requestId: asked.requestId,
      prompt: promptOf(asked.source, asked.chat),
      sampling: sampling(asked.sampling),
      canvas: asked.canvas && canvasControl(asked.canvas),
    },
    preview: previewOptions(asked.drafts),
  });
}

/** A message, and proof that it can be sent. `field` is to blame for what cannot. */
export function written<Desc extends DescMessage>(
  schema: Desc,
  field: string,
  init: MessageInitShape<Desc>,
): MessageShape<Desc> {
  try {
    const message = create(schema, init);
    toBinary(schema, message);
    // Unlike writing, copying refuses text that is no UTF-8: lone surrogates.
    return clone(schema, message);
  } catch (error) {
    throw invalidField(field, reasonOf(error), error);
  }
}

function reasonOf(error: unknown): string {
  if (isFieldError(error)) return `cannot set ${error.field()}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

export function seedOf(seed: number | bigint | undefined, field: string): bigint | undefined {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw invalidField(field, `${seed} is not a whole number below 2^53; give a bigint`);
  }
  return seed === undefined ? undefined : BigInt(seed);
}

function sampling(given: Sampling): MessageInitShape<typeof SamplingParametersSchema> {
  for (const name of Object.keys(given)) {
    if (!(name in SamplingParametersSchema.field)) {
      const known = Object.keys(SamplingParametersSchema.field).join(", ");
      throw invalidField(`input.sampling.${name}`, `unknown option; sampling takes ${known}`);
    }
  }
  const { seed, effort, responseFormat, ...plain } = given;
  return written(SamplingParametersSchema, "input.sampling", {
    ...(plain as Omit<MessageInitShape<typeof SamplingParametersSchema>, "$typeName" | "effort">),
    seed: seedOf(seed, "input.sampling.seed"),
    effort: effort ? chosen(EFFORTS, effort, "input.sampling.effort") : EffortValue.UNSPECIFIED,
    responseFormat: responseFormat && format(responseFormat),
  });
}

function format(wanted: ResponseFormat): MessageInitShape<typeof ResponseFormatSchema> {
  if ("regex" in wanted) return { format: { case: "regex", value: wanted.regex } };
  if ("choices" in wanted) {
    return { format: { case: "choices", value: { texts: [...wanted.choices] } } };
  }
  const { jsonSchema } = wanted;
  const value = typeof jsonSchema === "string" ? jsonSchema : JSON.stringify(jsonSchema);
  return { format: { case: "jsonSchema", value } };
}

function canvasControl(canvas: Canvas): MessageInitShape<typeof CanvasControlSchema> {
  const { startingTokenIds = [], pinnedPositions = [], template = "" } = canvas;
  const spans = typeof template === "string" ? parsed(template) : template;
  return {
    startingTokenIds: [...startingTokenIds],
    pinnedPositions: [...pinnedPositions],
    template: spans.length > 0 ? { spans: spans.map((span) => templateSpan(span)) } : undefined,
    readOnly: canvas.readOnly ?? false,
    canvasLength: canvas.canvasLength,
  };
}

/** Every second piece is the size of a gap. */
function parsed(template: string): (string | number)[] {
  const pieces = template.split(GAP);
  return pieces.flatMap<string | number>((piece, i) =>
    i % 2 ? [Number(piece)] : piece ? [piece] : [],
  );
}

function templateSpan(span: string | number): MessageInitShape<typeof TemplateSpanSchema> {
  if (typeof span === "string") return { kind: { case: "literal", value: span } };
  return { kind: { case: "free", value: { tokenCount: span } } };
}

function previewOptions(drafts: Drafts): MessageInitShape<typeof PreviewOptionsSchema> | undefined {
  if (drafts === false) return undefined;
  const options = drafts === true ? {} : drafts;
  const mode = options.mode ?? "tokens";
  const tokens = mode === "tokens";
  return {
    mode: chosen(MODES, mode, "preview.mode"),
    everyNSteps: options.everyNSteps ?? 0,
    maxRateHz: options.maxRateHz,
    includeConfidence: tokens && (options.confidence ?? true),
    includeAcceptedMask: tokens && (options.accepted ?? true),
    includeTokenTexts: tokens && (options.texts ?? true),
    includeEntropy: tokens && (options.entropy ?? false),
    allowDeltas: tokens && (options.deltas ?? false),
  };
}

function chosen<T>(values: Record<string, T>, name: string, field: string): T {
  const value = values[name];
  if (value === undefined) {
    throw invalidField(field, `'${name}' is none of ${Object.keys(values).join(", ")}`);
  }
  return value;
}
