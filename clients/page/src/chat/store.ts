// What outlives a reload: JSON by name, with bytes and large whole numbers. A browser that keeps
// nothing, or something else, is as one that was never here.

/** As `localStorage` is, or undefined where the browser allows none. */
export type Keeping = Pick<Storage, "getItem" | "setItem" | "removeItem"> | undefined;

export class Store {
  readonly #keeping: Keeping;

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
  }

  /** Undefined if nothing is kept, or nothing that can be read. */
  get(name: string): unknown {
    try {
      return fromJson(this.#keeping?.getItem(name) ?? "null") ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** Whether there was room for it. */
  set(name: string, value: unknown): boolean {
    try {
      if (value === undefined) this.#keeping?.removeItem(name);
      else this.#keeping?.setItem(name, toJson(value));
      return true;
    } catch {
      return false;
    }
  }
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === "bigint") return { $whole: String(one) };
    if (one instanceof Uint8Array) return { $bytes: btoa(characters(one)) };
    return one;
  });
}

export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, one: unknown) => {
    if (typeof one !== "object" || one === null) return one;
    if ("$whole" in one) return BigInt(String(one.$whole));
    if ("$bytes" in one) {
      return Uint8Array.from(atob(String(one.$bytes)), (character) => character.charCodeAt(0));
    }
    return one;
  });
}

/** `btoa` takes characters below 256, one a byte. */
function characters(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
