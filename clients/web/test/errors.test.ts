import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../src/gen/google/rpc/error_details_pb.js";
import { PalimpsestError } from "../src/errors.js";

test("an error tells its code, its message and the fields to blame", () => {
  const violation = { field: "input.sampling.seed", description: "too low" };
  const error = PalimpsestError.from(
    new ConnectError("too low", Code.InvalidArgument, undefined, [
      { desc: BadRequestSchema, value: { fieldViolations: [violation] } },
      {
        desc: ErrorInfoSchema,
        value: { reason: "INVALID_REQUEST", metadata: { request_id: "r" } },
      },
    ]),
  );
  assert.equal(error.code, "invalid_argument");
  assert.equal(error.message, "too low");
  assert.deepEqual(error.violations, [violation]);
  assert.deepEqual([error.reason, error.requestId], ["INVALID_REQUEST", "r"]);
});

test("an error tells when to try again", () => {
  const retry = { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n, nanos: 5e8 } } };
  const full = new ConnectError("full", Code.ResourceExhausted, undefined, [retry]);
  const error = PalimpsestError.from(full);
  assert.deepEqual([error.code, error.retryAfterMs], ["resource_exhausted", 2_500]);
});

test("a connection that broke means that nobody is there, and a server's unknown does not", () => {
  assert.equal(PalimpsestError.from(new TypeError("fetch failed")).code, "unavailable");
  assert.equal(PalimpsestError.from(new ConnectError("odd", Code.Unknown)).code, "unknown");
});

test("a response that ends inside a message broke off, but a request may do so too", () => {
  const said = ["protocol error: incomplete envelope", Code.InvalidArgument] as const;
  assert.equal(PalimpsestError.from(new ConnectError(...said)).code, "unavailable");
  const info = { desc: ErrorInfoSchema, value: { reason: "INVALID_REQUEST" } };
  const refusal = new ConnectError(...said, undefined, [info]);
  assert.equal(PalimpsestError.from(refusal).code, "invalid_argument");
});
