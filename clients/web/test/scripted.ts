// A server in memory that says what a test wants to hear: connect's own, over a transport that
// encodes every message, or over `fetch`.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createRouterTransport,
  type ConnectRouter,
  type HandlerContext,
} from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { BadRequestSchema } from "../src/gen/google/rpc/error_details_pb.js";
import {
  StreamGenerateResponseSchema,
  type StreamGenerateRequest,
  type StreamGenerateResponse,
} from "../src/gen/palimpsest/v1/generation_pb.js";
import { DiffusionService } from "../src/gen/palimpsest/v1/service_pb.js";
import { Client, type ClientOptions } from "../src/client.js";
import type { AnswerEvent } from "../src/events.js";

export type Answering = (
  request: StreamGenerateRequest,
  context: HandlerContext,
) => AsyncGenerator<StreamGenerateResponse>;

/** A client of a server that answers each call for a stream with the next of `answers`. */
export function clientOf(
  answers: Answering[],
  options: Omit<ClientOptions, "baseUrl"> = {},
): Client {
  const transport = createRouterTransport((router) => serve(router, answers));
  return new Client(transport, options);
}

/** What reaches such a server by HTTP, over any protocol. */
export function fetchOf(answers: Answering[]): typeof fetch {
  const router = createConnectRouter();
  serve(router, answers);
  return async (input, init) => {
    const request = new Request(input, init);
    const { pathname } = new URL(request.url);
    const handler = router.handlers.find(({ requestPath }) => requestPath === pathname);
    if (handler === undefined) throw new Error(`nothing is at ${pathname}`);
    return createFetchHandler(handler)(request);
  };
}

function serve({ service }: ConnectRouter, answers: Answering[]): void {
  service(DiffusionService, {
    streamGenerate(request, context) {
      const answering = answers.shift();
      if (answering === undefined) throw new Error("nobody expected another call");
      return answering(request, context);
    },
  });
}

export function message(
  sequence: number,
  event: MessageInitShape<typeof StreamGenerateResponseSchema>["event"],
): StreamGenerateResponse {
  return create(StreamGenerateResponseSchema, { sequence: BigInt(sequence), event });
}

export function started(sequence: number, canvasLength = 2): StreamGenerateResponse {
  const value = { requestId: "r-1", model: "tiny", canvasLength, promptTokens: 3, seed: 9n };
  return message(sequence, { case: "started", value });
}

/** A commit of a canvas whose tokens are the characters of `text`. */
export function commit(
  sequence: number,
  canvasIndex: number,
  text: string,
): StreamGenerateResponse {
  const tokenIds = Array.from(text, (character) => character.charCodeAt(0));
  const value = { canvasIndex, steps: 4, converged: true, tokenIds, textDelta: text };
  return message(sequence, { case: "commit", value });
}

export function draft(sequence: number, canvasIndex: number, step: number): StreamGenerateResponse {
  const value = { canvasIndex, step, content: { case: "text" as const, value: `${step}` } };
  return message(sequence, { case: "snapshot", value });
}

export function completed(sequence: number): StreamGenerateResponse {
  const usage = { promptTokens: 3, outputTokens: 1, canvases: 1, denoisingSteps: 4 };
  return message(sequence, { case: "completed", value: { finishReason: 1, usage } });
}

/** A server that refuses a call, and says which fields are to blame. */
export function refusing(
  code: keyof typeof Code,
  ...fieldViolations: { field: string; description: string }[]
): Answering {
  return async function* () {
    const bad = { desc: BadRequestSchema, value: { fieldViolations } };
    throw new ConnectError("refused", Code[code], undefined, [bad]);
  };
}

export async function all(events: AsyncIterable<AnswerEvent>): Promise<AnswerEvent[]> {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}
