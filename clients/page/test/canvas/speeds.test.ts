import { describe, expect, it } from "vitest";
import { milliseconds, rate, speedRows } from "../../src/canvas/speedRows.ts";
import { canvasSpeeds, runSpeeds } from "../../src/canvas/speeds.ts";
import { canvas, commit, draft, recorded, runOf } from "./recorded.ts";

describe("speeds", () => {
  const steps = [draft(1, [7, 7], { stepMs: 10 }), draft(2, [7, 7], { stepMs: 30 })];

  it("of a canvas are counted from its steps and its commit", () => {
    expect(canvasSpeeds(canvas(steps, commit(2, [7, 7], { denoiseMs: 50 })), 4)).toEqual({
      settled: 1,
      converged: 1,
      outputTokensPerSecond: 40,
      effectiveTokensPerSecond: 80,
      stepsPerCanvas: 2,
      tokensPerForward: 1,
      stepMsMean: 20,
      stepMsWorst: 30,
    });
  });

  it("of a canvas that is being written are those of its steps alone", () => {
    const speeds = { settled: 0, converged: 0, stepMsMean: 20, stepMsWorst: 30 };
    expect(canvasSpeeds(canvas(steps), 4)).toEqual(speeds);
  });

  it("of a whole run are what the server measured", () => {
    const run = recorded("count");
    const speeds = runSpeeds(run);
    expect(speeds).toMatchObject(run.answer.speeds!);
    expect(speeds).toMatchObject({ settled: 2, converged: 2, promptTokens: 25 });
    expect(speeds.stepMsWorst).toBeCloseTo(53.427);
  });

  it("of a run that goes on are those of what is settled", () => {
    const run = runOf([canvas(steps, commit(2, [7, 7])), canvas(steps, undefined, 1)]);
    const speeds = runSpeeds(run);
    expect(speeds).toMatchObject({ settled: 1, outputTokensPerSecond: 20, stepMsMean: 20 });
    expect(speeds.timeToFirstCommitMs).toBeUndefined();
  });

  it("are written by name, with a dash for what is not known", () => {
    const rows = speedRows([runSpeeds(recorded("count")), runSpeeds(runOf([]))]);
    const text = Object.fromEntries(rows.map(({ name, values }) => [name, values.join(" | ")]));
    expect(text["output tokens/s"]).toBe("488 | –");
    expect(text["tokens per forward"]).toBe("22 | –");
    expect(text["converged"]).toBe("2 of 2 | –");
    expect(text["prompt cached"]).toBe("0 of 25 | –");
  });

  it("say whether one canvas converged or met the step limit", () => {
    const row = (converged: boolean) =>
      speedRows([canvasSpeeds(canvas([], commit(48, [7], { converged })), 4)]).find(
        ({ name }) => name === "converged",
      );
    expect([row(true)!.values[0], row(false)!.values[0]]).toEqual(["yes", "step limit"]);
  });

  it("have three digits", () => {
    expect([0.041666, 4.6, 43.55, 1236.4, NaN].map(rate)).toEqual([
      "0.0417",
      "4.6",
      "43.5",
      "1,236",
      "–",
    ]);
    expect([12.345, 4673.7, 12_345].map(milliseconds)).toEqual(["12.3 ms", "4,674 ms", "12.3 s"]);
  });
});
