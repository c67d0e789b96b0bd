import { useMemo } from "preact/hooks";
import type { Run } from "../run.ts";
import { CanvasGrid } from "./CanvasGrid.tsx";
import {
  differences,
  pairedLengths,
  settingsThatDiffer,
  stopAfter,
  type Difference,
} from "./comparison.ts";
import { placeAt, type Place } from "./positions.ts";
import { heatProperties } from "./ramp.ts";
import { gapMs, shownAt, type Shown } from "./shown.ts";
import { runSpeeds } from "./speeds.ts";
import { SpeedTable } from "./SpeedTable.tsx";
import { StepSlider } from "./StepSlider.tsx";
import { useCursor } from "./useCursor.ts";
import { noteText } from "./words.ts";
import "./canvas.css";

const HEAT = heatProperties();
const NAMES = ["A", "B"] as const;

/** Two runs of the same prompt beside each other, on one slider. */
export function Compare({ runs }: { runs: readonly [Run, Run] }) {
  const [a, b] = runs;
  return (
    <section class="canvas-compare" aria-label="Two answers beside each other" style={HEAT}>
      <Settings differences={settingsThatDiffer(runs)} />
      <Pair key={`${a.id} ${b.id}`} runs={runs} />
      <SpeedTable names={NAMES} columns={runs.map(runSpeeds)} />
    </section>
  );
}

function Settings({ differences }: { differences: readonly Difference[] }) {
  if (differences.length === 0) return <p class="canvas-settings">Same settings, same seed.</p>;
  return (
    <ul class="canvas-settings" aria-label="What differs">
      {differences.map(({ name, values }) => (
        <li key={name}>
          {name} <b>{values[0]}</b> / <b>{values[1]}</b>
        </li>
      ))}
    </ul>
  );
}

function Pair({ runs }: { runs: readonly [Run, Run] }) {
  const [a, b] = runs;
  const lengths = useMemo(() => pairedLengths([a, b]), [a.canvases, b.canvases]);
  const { track, cursor, setCursor, place } = useCursor(lengths);
  const shown = [shownIn(a, place), shownIn(b, place)] as const;
  const differs = useMemo(
    () => differences(shown[0]?.tokens, shown[1]?.tokens),
    [shown[0]?.tokens, shown[1]?.tokens],
  );
  const steps = Math.max(0, ...shown.map((each) => each?.steps ?? 0));
  const count = differs.filter((is) => is).length;
  const gap = (at: number) =>
    Math.max(...runs.map((run) => gapIn(run, placeAt(track, at), placeAt(track, at + 1))));
  return (
    <>
      <StepSlider
        track={track}
        cursor={cursor}
        onCursor={setCursor}
        place={`canvas ${place.canvas + 1}, step ${place.stop + 1} of ${steps}`}
        note={differenceText(count)}
        gapMs={gap}
        running={runs.some(({ state }) => state === "running")}
      />
      <div class="canvas-pair">
        {runs.map((run, i) => (
          <Side
            key={run.id}
            name={NAMES[i]!}
            run={run}
            shown={shown[i]}
            canvas={place.canvas}
            differs={differs}
          />
        ))}
      </div>
    </>
  );
}

function differenceText(count: number): string {
  if (count === 0) return "no position differs";
  return count === 1 ? "1 position differs" : `${count} positions differ`;
}

interface SideProps {
  name: string;
  run: Run;
  shown: Shown | undefined;
  canvas: number;
  differs: readonly boolean[];
}

function Side({ name, run, shown, canvas, differs }: SideProps) {
  return (
    <section class="canvas-side" aria-label={`Answer ${name}`}>
      <h3>
        {name} <small>seed {String(run.answer.seed ?? run.asked.options.seed ?? "–")}</small>
        {shown && (
          <small>
            step {shown.step} of {shown.steps}, {noteText(shown)}
          </small>
        )}
      </h3>
      {shown ? (
        <CanvasGrid
          shown={shown}
          label={`Tokens of ${name}, canvas ${canvas + 1}`}
          differs={differs}
        />
      ) : (
        <p class="canvas-waiting">
          {run.state === "running" ? "Not written yet." : `${name} has no canvas ${canvas + 1}.`}
        </p>
      )}
    </section>
  );
}

/** What a run shows after the step of a place; a canvas that took fewer stays as it settled. */
function shownIn(run: Run, { canvas, stop }: Place): Shown | undefined {
  const found = run.canvases[canvas];
  return found && shownAt(found, stopAfter(found, stop + 1));
}

function gapIn(run: Run, from: Place, to: Place): number {
  const [before, after] = [run.canvases[from.canvas], run.canvases[to.canvas]];
  if (before === undefined || after === undefined) return 0;
  const stops = [stopAfter(before, from.stop + 1), stopAfter(after, to.stop + 1)] as const;
  if (from.canvas === to.canvas && stops[0] === stops[1]) return 0;
  return gapMs(run, { canvas: from.canvas, stop: stops[0] }, { canvas: to.canvas, stop: stops[1] });
}
