// Values as literals of a language, on one line where they fit.
//
// A string of JSON is one of Python, TypeScript and JavaScript too: the same escapes, and what JSON
// leaves as it is they read as it is.

/** Code that stands where a value could. */
export class Code {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export interface Dialect {
  words: { null: string; true: string; false: string };
  /** What keeps the braces of an object from its content. */
  padding: "" | " ";
  key(name: string): string;
  big(value: bigint): string;
  /** Columns per level. */
  indent: number;
}

const WIDTH = 88;

export const PYTHON: Dialect = {
  words: { null: "None", true: "True", false: "False" },
  padding: "",
  key: (name) => JSON.stringify(name),
  big: String,
  indent: 4,
};

export const TYPESCRIPT: Dialect = {
  words: { null: "null", true: "true", false: "false" },
  padding: " ",
  key: property,
  big: (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? String(value) : `${value}n`),
  indent: 2,
};

/** `value`, which begins at a line that is indented by `level`. */
export function literal(value: unknown, dialect: Dialect, level = 0): string {
  const entries = entriesOf(value, dialect, level + 1);
  if (entries === undefined) return scalar(value, dialect);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const padding = Array.isArray(value) ? "" : dialect.padding;
  return enclosed(open, entries, close, { dialect, level, padding });
}

/** `entries` between `open` and `close`: on one line if they fit, else on one each. */
export function enclosed(
  open: string,
  entries: readonly string[],
  close: string,
  { dialect, level, padding = "" }: { dialect: Dialect; level: number; padding?: string },
): string {
  if (entries.length === 0) return open + close;
  const line = `${open}${padding}${entries.join(", ")}${padding}${close}`;
  const margin = " ".repeat(dialect.indent * level);
  if (!line.includes("\n") && margin.length + line.length <= WIDTH) return line;
  const deeper = " ".repeat(dialect.indent * (level + 1));
  return [open, ...entries.map((entry) => `${deeper}${entry},`), `${margin}${close}`].join("\n");
}

function entriesOf(value: unknown, dialect: Dialect, level: number): string[] | undefined {
  if (Array.isArray(value)) return value.map((item) => literal(item, dialect, level));
  if (typeof value !== "object" || value === null || value instanceof Code) return undefined;
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${dialect.key(name)}: ${literal(member, dialect, level)}`);
}

function scalar(value: unknown, dialect: Dialect): string {
  if (value instanceof Code) return value.text;
  if (value === null || value === true || value === false) return dialect.words[`${value}`];
  return typeof value === "bigint" ? dialect.big(value) : JSON.stringify(value);
}

function property(name: string): string {
  // In a literal this name alone does not make a property.
  if (name === "__proto__") return '["__proto__"]';
  return /^([A-Za-z_$][\w$]*|0|[1-9]\d{0,8})$/.test(name) ? name : JSON.stringify(name);
}
