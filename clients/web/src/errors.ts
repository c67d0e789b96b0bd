// Every way a call can fail, as a caller of this package sees it: one class, told apart by `code`.

import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { milliseconds } from "./units.js";

/**
 * `invalid_argument`, `not_found` and `unimplemented` are the request's fault; `resource_exhausted`
 * and `unavailable` are worth another try; `internal` and `unknown` are the server's.
 */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** One field that the server could not accept. */
export interface FieldViolation {
  /** Its path in the request, as in `input.sampling.temperature`. */
  field: string;
  description: string;
}

interface Details {
  violations?: readonly FieldViolation[];
  reason?: string;
  requestId?: string;
  retryAfterMs?: number;
  cause?: unknown;
}

/** What all calls throw. Its message is one readable line. */
export class PalimpsestError extends Error {
  override readonly name = "PalimpsestError";
  readonly code: ErrorCode;
  /** The fields to blame; empty unless `code` is `invalid_argument` or `unimplemented`. */
  readonly violations: readonly FieldViolation[];
  /** The server's own word for what happened, such as `QUEUE_FULL`; empty where it said none. */
  readonly reason: string;
  /** The request's name in the server's log; empty where it is not known. */
  readonly requestId: string;
  /** When to try again, where the server said so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.violations = details.violations ?? [];
    this.reason = details.reason ?? "";
    this.requestId = details.requestId ?? "";
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Anything that a transport throws. */
  static from(thrown: unknown): PalimpsestError {
    if (thrown instanceof PalimpsestError) return thrown;
    const error = ConnectError.from(thrown);
    const info = error.findDetails(ErrorInfoSchema)[0];
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    const blamed = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
    if (isBroken(error)) {
      const message = `the server cannot be reached, or the connection broke: ${error.rawMessage}`;
      return new PalimpsestError("unavailable", message, { cause: error.cause });
    }
    return new PalimpsestError(codeOf(error), error.rawMessage, {
      violations: blamed.map(({ field, description }) => ({ field, description })),
      reason: info?.reason,
      requestId: info?.metadata["request_id"],
      retryAfterMs: delay && milliseconds(delay),
      cause: thrown,
    });
  }
}

/** A refusal of one field, made on this side of the wire. */
export function invalidField(field: string, description: string, cause?: unknown): PalimpsestError {
  const violations = [{ field, description }];
  return new PalimpsestError("invalid_argument", `${field}: ${description}`, { violations, cause });
}

/** Only what did not come from a server has a cause. */
function isBroken(error: ConnectError): boolean {
  return (error.code === Code.Unknown && error.cause !== undefined) || isCutShort(error);
}

/**
 * Whether a response ended inside a message. Connect blames an argument for it, as it does in a
 * server for a request that ends so; our server's refusals have details.
 */
function isCutShort({ code, rawMessage, details }: ConnectError): boolean {
  const isOurs = code === Code.InvalidArgument && details.length === 0;
  return isOurs && rawMessage === "protocol error: incomplete envelope";
}

function codeOf(error: ConnectError): ErrorCode {
  return Code[error.code].replace(/\B[A-Z]/g, "_$&").toLowerCase() as ErrorCode;
}
