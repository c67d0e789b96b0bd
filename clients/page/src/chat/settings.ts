// What a request asks for besides its messages, as it is typed: every value is text, and empty text
// leaves the choice to the server. Pure; what the texts mean is in options.ts.

export const FIELD_NAMES = [
  "system",
  "thinking",
  "thinkingBudget",
  "effort",
  "seed",
  "maxOutputTokens",
  "maxDenoisingSteps",
  "temperature",
  "topP",
  "topK",
  "minP",
  "stopSequences",
  "formatKind",
  "formatText",
  "tools",
] as const;

export type FieldName = (typeof FIELD_NAMES)[number];
export type Fields = Readonly<Record<FieldName, string>>;
/** Why a field cannot be sent, or why the server refused it. */
export type Problems = Readonly<Partial<Record<FieldName, string>>>;

/** Which of two runs: one prompt is answered twice when settings are compared. */
export type Side = "a" | "b";

export interface Settings {
  a: Fields;
  /** What differs from `a` in the second run. */
  b: Readonly<Partial<Fields>>;
  /** Whether there is a second run. */
  comparing: boolean;
}

export const NO_FIELDS: Fields = Object.freeze(
  Object.fromEntries(FIELD_NAMES.map((name) => [name, ""])),
) as Fields;
export const NO_SETTINGS: Settings = { a: NO_FIELDS, b: {}, comparing: false };

export function fieldsOf(settings: Settings, side: Side): Fields {
  return side === "a" ? settings.a : { ...settings.a, ...settings.b };
}

/** `settings` after `value` was typed into a field; what says the same on both sides is one. */
export function withField(
  settings: Settings,
  side: Side,
  name: FieldName,
  value: string,
): Settings {
  const a = side === "a" ? { ...settings.a, [name]: value } : settings.a;
  const b: Partial<Record<FieldName, string>> = { ...settings.b };
  if (side === "b") b[name] = value;
  if (b[name] === a[name]) delete b[name];
  return { ...settings, a, b };
}

/** The fields of `side` that say something: in `a` what is set, in `b` what differs. */
export function spoken(settings: Settings, side: Side): FieldName[] {
  return FIELD_NAMES.filter((name) =>
    side === "a" ? settings.a[name] !== "" : settings.b[name] !== undefined,
  ).filter((name) => name !== "formatText");
}

/** Reads what was kept; what does not look like settings is as if it was never set. */
export function readSettings(kept: unknown): Settings {
  if (!isRecord(kept)) return NO_SETTINGS;
  return {
    a: { ...NO_FIELDS, ...texts(kept.a) },
    b: texts(kept.b),
    comparing: kept.comparing === true,
  };
}

function texts(kept: unknown): Partial<Fields> {
  if (!isRecord(kept)) return {};
  const entries = FIELD_NAMES.map((name) => [name, kept[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => typeof value === "string"));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
