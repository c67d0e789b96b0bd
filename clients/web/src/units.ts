// From the units of the contract to those of JavaScript.

import type { Duration } from "@bufbuild/protobuf/wkt";

/** Of a duration; 0 where there is none. */
export function milliseconds(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) * 1e3 + duration.nanos / 1e6 : 0;
}

/** From bytes that stand for 0 to 1. */
export function shares(octets: Uint8Array): number[] {
  return Array.from(octets, (octet) => octet / 255);
}

/** The first `count` bits of a mask, least significant first; none of an empty mask. */
export function bits(mask: Uint8Array, count: number): boolean[] {
  if (mask.length === 0) return [];
  return Array.from({ length: count }, (_, i) => (((mask[i >> 3] ?? 0) >> (i & 7)) & 1) === 1);
}
