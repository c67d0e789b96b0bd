// `decide`: how probable each of some labels is as the answer to a question.

import type { DecideRequest, DecideResponse } from "./gen/palimpsest/v1/decide_pb.js";
import { DecideRequestSchema } from "./gen/palimpsest/v1/decide_pb.js";
import { PromptSchema } from "./gen/palimpsest/v1/prompt_pb.js";
import { PalimpsestError } from "./errors.js";
import type { Usage } from "./events.js";
import { promptOf, type ChatOptions, type PromptSource } from "./prompts.js";
import { seedOf, written } from "./requests.js";
import { usageOf } from "./responses.js";
import { milliseconds } from "./units.js";

/** Text that is appended to the prompt, and its possible answers. */
export interface Question {
  text: string;
  labels: readonly string[];
}

export interface DecideOptions extends ChatOptions {
  /** The possible answers to the prompt itself, and to questions that are given as text. */
  labels?: readonly string[];
  /** Left out means that the prompt is the question. */
  questions?: readonly (string | Question)[];
  denoisingSteps?: number;
  calibrationTemperature?: number;
  seed?: number | bigint;
}

export interface LabelScore {
  label: string;
  /** Natural logarithm of the probability that this is the whole answer. */
  logProbability: number;
  /** Share among the labels; these sum to 1. */
  probability: number;
}

/** The scores of one question. */
export interface Decision {
  /** One for each label, in their order. */
  scores: readonly LabelScore[];
  /** The most probable; the first of equals. */
  best: LabelScore;
}

/** The scores of all questions, in their order. */
export interface Decisions {
  requestId: string;
  model: string;
  decisions: readonly Decision[];
  seed: bigint;
  usage: Usage;
  /** From acceptance to the last score. */
  durationMs: number;
}

/** Throws `invalid_argument` for what no request can hold. */
export function decideRequest(
  source: PromptSource,
  options: DecideOptions,
  about: { model: string; requestId: string },
): DecideRequest {
  const {
    labels = [],
    questions = [""],
    denoisingSteps,
    calibrationTemperature,
    seed,
    ...chat
  } = options;
  return written(DecideRequestSchema, "questions", {
    ...about,
    prompt: written(PromptSchema, "prompt", promptOf(source, chat)),
    questions: questions.map((question) =>
      typeof question === "string"
        ? { text: question, labels: [...labels] }
        : { text: question.text, labels: [...question.labels] },
    ),
    denoisingSteps,
    calibrationTemperature,
    seed: seedOf(seed, "seed"),
  });
}

export function decisionsOf(response: DecideResponse): Decisions {
  const { requestId, model, seed } = response;
  const decisions = response.decisions.map(({ scores, bestIndex }) => {
    const plain = scores.map(({ label, logProbability, probability }) => ({
      label,
      logProbability,
      probability,
    }));
    const best = plain[bestIndex];
    if (best === undefined) throw new PalimpsestError("internal", `there is no label ${bestIndex}`);
    return { scores: plain, best };
  });
  const usage = usageOf(response.usage);
  return { requestId, model, decisions, seed, usage, durationMs: milliseconds(response.duration) };
}
