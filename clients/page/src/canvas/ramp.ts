// Colours of confidence: from warm and strong, where the model guesses, to almost none, where it is
// sure. Lightness goes one way in even steps, so the order survives any colour blindness and a grey
// screen; the hue goes from orange to blue, the two that nearly everybody can tell apart.

/** A colour of OKLCH: lightness and chroma from 0 to about 1 and 0.4, hue in degrees. */
export interface Colour {
  lightness: number;
  chroma: number;
  hue: number;
}

export const LEVELS = 16;

/** The level of a confidence between 0 and 1; undefined where it is not known. */
export function levelOf(confidence: number | undefined): number | undefined {
  if (confidence === undefined || Number.isNaN(confidence)) return undefined;
  return Math.max(0, Math.min(LEVELS - 1, Math.round(confidence * (LEVELS - 1))));
}

export function heat(level: number, theme: "light" | "dark"): Colour {
  const sure = level / (LEVELS - 1);
  const hue = (60 - 165 * sure + 360) % 360;
  if (theme === "light")
    return { lightness: 0.78 + 0.175 * sure, chroma: 0.12 - 0.105 * sure, hue };
  return { lightness: 0.5 - 0.23 * sure, chroma: 0.11 - 0.08 * sure, hue };
}

/** The ramp as custom properties, `--canvas-heat-0` and up. */
export function heatProperties(): Record<string, string> {
  const levels = Array.from({ length: LEVELS }, (_, level) => level);
  return Object.fromEntries(
    levels.map((level) => [
      `--canvas-heat-${level}`,
      `light-dark(${written(heat(level, "light"))}, ${written(heat(level, "dark"))})`,
    ]),
  );
}

function written({ lightness, chroma, hue }: Colour): string {
  return `oklch(${lightness.toFixed(3)} ${chroma.toFixed(3)} ${hue.toFixed(1)})`;
}
