// One streamed answer over as many calls as it takes.
//
// The answer is a function of the request and its seed, so a further call is told what has arrived
// and gives the rest.

import { clone, create } from "@bufbuild/protobuf";
import { SamplingParametersSchema } from "./gen/palimpsest/v1/sampling_pb.js";
import {
  ResumePointSchema,
  StreamGenerateRequestSchema,
  type StreamGenerateRequest,
  type StreamGenerateResponse,
} from "./gen/palimpsest/v1/generation_pb.js";
import type { Attempts } from "./attempts.js";
import { DraftReader } from "./drafts.js";
import type { PalimpsestError } from "./errors.js";
import type { AnswerEvent, Commit, Completed, Started } from "./events.js";
import { eventOf } from "./responses.js";

/** What has arrived of an answer, and the request for what has not. */
export class ResumableAnswer {
  /** For the next call; changes with what arrives. */
  readonly request: StreamGenerateRequest;
  readonly #attempts: Attempts;
  readonly #commits: Commit[] = [];
  #started: Started | undefined;
  #completed = false;
  #isResumed = false;
  /** Canvas and step up to which drafts are known. */
  #reached: [canvas: number, step: number] = [0, 0];
  /** Of the last event given. */
  #sequence = 0;
  /** From the numbers of the call's events to those of the answer's. */
  #shift = 0;
  /** Deltas refer to snapshots of the same call. */
  #drafts = new DraftReader();

  constructor(request: StreamGenerateRequest, attempts: Attempts) {
    this.request = clone(StreamGenerateRequestSchema, request);
    this.#attempts = attempts;
  }

  /** The event that a message brings; undefined if it is known or of an unknown kind. */
  take(response: StreamGenerateResponse): AnswerEvent | undefined {
    const event = eventOf(response, this.#drafts);
    if (event === undefined) return undefined;
    if (this.#isResumed && this.#isKnown(event)) {
      // What is left out leaves no gap, as that would mean skipped drafts.
      this.#shift = this.#sequence - event.sequence;
      return undefined;
    }
    this.#note(event);
    this.#sequence = event.sequence + this.#shift;
    const whole = event.kind === "completed" ? this.#ofWholeAnswer(event) : event;
    return { ...whole, sequence: this.#sequence };
  }

  /**
   * Milliseconds to wait before `request` is sent again, now for the rest; undefined if nothing is
   * missing. Throws `error` if there is to be no further call.
   */
  waitMs(error: PalimpsestError): number | undefined {
    // Canvases of several answers are not told apart here.
    if ((this.request.input?.sampling?.candidateCount ?? 1) > 1) throw error;
    if (this.#completed) return undefined;
    if (this.#hadEnded(error)) {
      // The last canvas once more, as the end comes behind it.
      this.#askFrom(this.#commits.length - 1);
      return 0;
    }
    const waitMs = this.#attempts.waitMs(error);
    this.#askFrom(this.#commits.filter((commit) => this.#isWhole(commit)).length);
    return waitMs;
  }

  #isKnown(event: AnswerEvent): boolean {
    switch (event.kind) {
      case "started":
        return this.#started !== undefined;
      case "draft": {
        const [canvas, step] = this.#reached;
        return event.canvasIndex < canvas || (event.canvasIndex === canvas && event.step <= step);
      }
      case "commit":
        return event.canvasIndex < this.#commits.length;
      case "completed":
        return false;
    }
  }

  #note(event: AnswerEvent): void {
    switch (event.kind) {
      case "started":
        this.#started = event;
        this.#pin(event);
        break;
      case "draft":
        this.#reached = [event.canvasIndex, event.step];
        break;
      case "commit":
        this.#commits.push(event);
        this.#reached = [event.canvasIndex + 1, 0];
        this.#attempts.succeed();
        break;
      case "completed":
        this.#completed = true;
    }
  }

  /** Makes sure that a further call has the same answer, under the same name. */
  #pin({ model, requestId, seed }: Started): void {
    const { input } = this.request;
    if (input === undefined) return;
    input.model = model;
    input.requestId = requestId;
    input.sampling ??= create(SamplingParametersSchema);
    input.sampling.seed = seed;
  }

  /**
   * Whether another canvas may follow: only the last one of an answer is cut.
   *
   * What fills the gaps of a template is not told, so such an answer starts over.
   */
  #isWhole(commit: Commit): boolean {
    if (this.request.input?.canvas?.template !== undefined) return false;
    return commit.tokenIds.length === this.#started?.canvasLength;
  }

  /** Whether the server says that the canvases it was given were the whole answer. */
  #hadEnded(error: PalimpsestError): boolean {
    const given = this.request.resume?.firstCanvasIndex ?? 0;
    const [blamed, ...others] = error.violations;
    return (
      error.code === "invalid_argument" &&
      blamed?.field === "resume" &&
      others.length === 0 &&
      given > 0 &&
      given === this.#commits.length
    );
  }

  #askFrom(canvasIndex: number): void {
    this.#isResumed = true;
    this.#shift = this.#sequence;
    this.#drafts = new DraftReader();
    this.request.resume = undefined;
    if (canvasIndex > 0) {
      const committed = this.#commits.slice(0, canvasIndex).flatMap((commit) => commit.tokenIds);
      const firstCanvasIndex = canvasIndex;
      const point = { firstCanvasIndex, committedTokenIds: committed };
      this.request.resume = create(ResumePointSchema, point);
    }
  }

  /** The last call counts only what it generated itself. */
  #ofWholeAnswer(completed: Completed): Completed {
    const before = this.#commits.slice(0, this.request.resume?.firstCanvasIndex ?? 0);
    const usage = { ...completed.usage };
    for (const commit of before) {
      usage.outputTokens += commit.tokenIds.length;
      usage.canvases += 1;
      usage.denoisingSteps += commit.steps;
    }
    return { ...completed, usage };
  }
}
