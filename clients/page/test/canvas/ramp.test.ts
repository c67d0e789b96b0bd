import { describe, expect, it } from "vitest";
import { heat, heatProperties, LEVELS, levelOf, type Colour } from "../../src/canvas/ramp.ts";

const levels = Array.from({ length: LEVELS }, (_, level) => level);
const THEMES = ["light", "dark"] as const;

/** Linear light of sRGB, from OKLCH. */
function linear({ lightness, chroma, hue }: Colour): [number, number, number] {
  const angle = (hue * Math.PI) / 180;
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function luminance(colour: Colour): number {
  const [red, green, blue] = linear(colour);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: number, other: number): number {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

describe.each(THEMES)("the ramp of confidence in the %s theme", (theme) => {
  const colours = levels.map((level) => heat(level, theme));

  it("changes lightness in one direction, in even steps", () => {
    const steps = colours.slice(1).map((colour, i) => colour.lightness - colours[i]!.lightness);
    for (const step of steps) expect(step).toBeCloseTo(steps[0]!, 10);
    expect(Math.abs(steps[0]!)).toBeGreaterThan(0.01);
  });

  it("changes luminance in one direction, so that it reads in grey", () => {
    const sign = theme === "light" ? 1 : -1;
    const lights = colours.map(luminance);
    lights.slice(1).forEach((light, i) => expect((light - lights[i]!) * sign).toBeGreaterThan(0));
  });

  it("can be shown on any screen", () => {
    for (const channel of colours.flatMap(linear)) {
      expect(channel).toBeGreaterThanOrEqual(0);
      expect(channel).toBeLessThanOrEqual(1);
    }
  });

  it("leaves text on it readable", () => {
    const text = theme === "light" ? 0.02 : 0.78;
    for (const colour of colours) {
      expect(contrast(luminance(colour), text)).toBeGreaterThanOrEqual(4.5);
    }
  });
});

describe("a confidence", () => {
  it("has a level, and none where it is not known", () => {
    expect([0, 0.5, 1, 2].map(levelOf)).toEqual([0, 8, 15, 15]);
    expect(levelOf(NaN)).toBeUndefined();
    expect(levelOf(undefined)).toBeUndefined();
  });

  it("has a colour of both themes at each level", () => {
    const properties = heatProperties();
    expect(Object.keys(properties)).toHaveLength(LEVELS);
    expect(properties["--canvas-heat-0"]).toMatch(/^light-dark\(oklch\(.+\), oklch\(.+\)\)$/);
  });
});
