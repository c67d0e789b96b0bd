// The client: what a caller holds. What it does is in the files beside it.

import { toJson, type JsonObject } from "@bufbuild/protobuf";
import {
  createClient as createRpcClient,
  type Client as RpcClient,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { DiffusionService } from "./gen/palimpsest/v1/service_pb.js";
import {
  GenerationInputSchema,
  type StreamGenerateRequest,
} from "./gen/palimpsest/v1/generation_pb.js";
import { CountTokensRequestSchema } from "./gen/palimpsest/v1/model_pb.js";
import { checkBaseUrl, checkHeaders } from "./addresses.js";
import { Attempts, sleep, throwIfAborted } from "./attempts.js";
import { decideRequest, decisionsOf, type DecideOptions, type Decisions } from "./decisions.js";
import { PalimpsestError } from "./errors.js";
import { promptOf, type ChatMessage, type ChatOptions, type RawText } from "./prompts.js";
import {
  streamRequest,
  written,
  type About,
  type Canvas,
  type Drafts,
  type Priority,
  type Sampling,
} from "./requests.js";
import { modelOf, type Model } from "./responses.js";
import { AnswerStream, eventsOf } from "./stream.js";

/** How to reach a server, and what all calls have in common. */
export interface ClientOptions {
  /** Where the server's HTTP port is, such as `http://127.0.0.1:8080`. */
  baseUrl: string;
  /** Name of the model to ask for; left out means the server's default. */
  model?: string;
  /** Whom the work is charged to, such as a team. */
  share?: string;
  /** How urgent it is within its share. */
  priority?: Priority;
  /** Sent with every call, such as `authorization`. */
  headers?: Readonly<Record<string, string>>;
  /**
   * Adds to the headers of each call what names the caller's trace. With OpenTelemetry's API:
   * `(headers) => propagation.inject(context.active(), headers)`.
   */
  inject?: (headers: Record<string, string>) => void;
  /** For a whole call, further tries included; left out means no limit of this side's. */
  timeoutMs?: number;
  /** Further tries of a call that ends in `unavailable`, in a row; 3 unless told otherwise. */
  retries?: number;
  /** "connect" unless told otherwise. */
  protocol?: "connect" | "connect-json" | "grpc-web";
  /** In place of the global one. */
  fetch?: typeof globalThis.fetch;
}

/** What every call takes, over the client's own. */
export interface CallOptions {
  /** Aborting it ends the call with `canceled`, and the work on the server. */
  signal?: AbortSignal;
  timeoutMs?: number;
  headers?: Readonly<Record<string, string>>;
  /** Name of the request in the server's logs; left out means that the server makes one up. */
  requestId?: string;
}

export interface GenerateOptions extends ChatOptions, Sampling, CallOptions {
  canvas?: Canvas;
  /** Whether to stream the canvas being written too; off unless told otherwise. */
  drafts?: Drafts;
}

/**
 * A client of the server at `options.baseUrl`; connects on the first call. Throws
 * `invalid_argument` for a URL or headers that no call can be made with.
 */
export function createClient(options: ClientOptions): Client {
  const { baseUrl, fetch } = options;
  checkBaseUrl(baseUrl);
  switch (options.protocol ?? "connect") {
    case "connect":
      return new Client(createConnectTransport({ baseUrl, fetch, useBinaryFormat: true }), options);
    case "connect-json":
      return new Client(createConnectTransport({ baseUrl, fetch }), options);
    case "grpc-web":
      return new Client(createGrpcWebTransport({ baseUrl, fetch }), options);
  }
}

/**
 * All calls throw `PalimpsestError`.
 *
 * A call that ends in `unavailable` is made again, after a wait that grows. A stream is taken up
 * after its last whole canvas and goes on to the very same text; all other calls start over.
 */
export class Client {
  readonly #rpc: RpcClient<typeof DiffusionService>;
  readonly #about: About;
  readonly #options: Omit<ClientOptions, "baseUrl">;

  /** Over a transport of Connect; `createClient` makes one. */
  constructor(transport: Transport, options: Omit<ClientOptions, "baseUrl"> = {}) {
    this.#rpc = createRpcClient(DiffusionService, transport);
    const { model = "", share = "", priority = "normal" } = options;
    this.#about = { model, share, priority };
    this.#options = options;
    checkHeaders(options.headers ?? {});
  }

  /** An answer to one message of the user, or to a prompt without the chat template. */
  generate(prompt: string | RawText, options: GenerateOptions = {}): AnswerStream {
    return this.#stream(prompt, options);
  }

  /** The next message of a conversation. */
  chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): AnswerStream {
    return this.#stream(messages, options);
  }

  /** How probable each label is as the answer to a question: see `DecideOptions`. */
  async decide(
    prompt: string | RawText | readonly ChatMessage[],
    options: DecideOptions & CallOptions,
  ): Promise<Decisions> {
    const [call, asked] = split(options);
    const about = { model: this.#about.model, requestId: call.requestId ?? "" };
    const request = decideRequest(prompt, asked, about);
    return decisionsOf(await this.#call((given) => this.#rpc.decide(request, given), call));
  }

  /** Tokens of a prompt, those of the chat template included. */
  async countTokens(
    prompt: string | RawText | readonly ChatMessage[],
    options: ChatOptions & CallOptions = {},
  ): Promise<number> {
    const [call, chat] = split(options);
    const init = { model: this.#about.model, prompt: promptOf(prompt, chat) };
    const request = written(CountTokensRequestSchema, "prompt", init);
    return (await this.#call((given) => this.#rpc.countTokens(request, given), call)).tokenCount;
  }

  /** The model that this client asks for: its limits and defaults. */
  async model(options: CallOptions = {}): Promise<Model> {
    const request = { model: this.#about.model };
    const { model } = await this.#call((given) => this.#rpc.getModel(request, given), options);
    if (model === undefined) throw new PalimpsestError("internal", "the server sent no model");
    return modelOf(model);
  }

  /** All models of the server, its default first. */
  async models(options: CallOptions = {}): Promise<Model[]> {
    const { models } = await this.#call((given) => this.#rpc.listModels({}, given), options);
    return models.map(modelOf);
  }

  /** What `generate` and `chat` ask for, as `Generate` takes it in JSON: for curl and the like. */
  requestJson(
    source: string | RawText | readonly ChatMessage[],
    options: GenerateOptions = {},
  ): JsonObject {
    const { input } = this.#request(source, options);
    return input === undefined ? {} : { input: toJson(GenerationInputSchema, input) };
  }

  #stream(
    source: string | RawText | readonly ChatMessage[],
    options: GenerateOptions,
  ): AnswerStream {
    const [call] = split(options);
    const headers = this.#headers(call);
    return new AnswerStream(
      eventsOf(
        (message, given) => this.#rpc.streamGenerate(message, { headers, ...given }),
        this.#request(source, options),
        this.#attempts(call),
        call.signal,
      ),
    );
  }

  #request(
    source: string | RawText | readonly ChatMessage[],
    options: GenerateOptions,
  ): StreamGenerateRequest {
    const [call, asked] = split(options);
    const {
      tools,
      toolChoice,
      enableThinking,
      templateKwargs,
      canvas,
      drafts = false,
      ...sampling
    } = asked;
    return streamRequest(this.#about, {
      source,
      chat: { tools, toolChoice, enableThinking, templateKwargs },
      sampling,
      canvas,
      drafts,
      requestId: call.requestId ?? "",
    });
  }

  async #call<T>(
    make: (options: {
      headers: Record<string, string>;
      signal: AbortSignal | undefined;
      timeoutMs: number | undefined;
    }) => Promise<T>,
    call: CallOptions,
  ): Promise<T> {
    const { signal } = call;
    const headers = this.#headers(call);
    const attempts = this.#attempts(call);
    for (;;) {
      throwIfAborted(signal);
      try {
        return await make({ headers, signal, timeoutMs: attempts.timeLeftMs() });
      } catch (thrown) {
        throwIfAborted(signal);
        await sleep(attempts.waitMs(PalimpsestError.from(thrown)), signal);
      }
    }
  }

  #headers(call: CallOptions): Record<string, string> {
    const traced: Record<string, string> = {};
    this.#options.inject?.(traced);
    const headers = { ...traced, ...this.#options.headers, ...call.headers };
    checkHeaders(headers);
    return headers;
  }

  #attempts(call: CallOptions): Attempts {
    return new Attempts(this.#options.retries ?? 3, call.timeoutMs ?? this.#options.timeoutMs);
  }
}

/** What is about the call, and what is asked. */
function split<T extends CallOptions>(options: T): [CallOptions, Omit<T, keyof CallOptions>] {
  const { signal, timeoutMs, headers, requestId, ...asked } = options;
  return [{ signal, timeoutMs, headers, requestId }, asked];
}
