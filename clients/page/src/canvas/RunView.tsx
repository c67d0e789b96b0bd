import { useMemo } from "preact/hooks";
import type { Run } from "../run.ts";
import { CanvasGrid } from "./CanvasGrid.tsx";
import { Charts } from "./Charts.tsx";
import { cursorAt, cursorAtEndOf, placeAt } from "./positions.ts";
import { heatProperties } from "./ramp.ts";
import { gapMs, shownAt, stopsOf } from "./shown.ts";
import { canvasSpeeds, runSpeeds } from "./speeds.ts";
import { SpeedTable } from "./SpeedTable.tsx";
import { StepSlider } from "./StepSlider.tsx";
import { Strip } from "./Strip.tsx";
import { useCursor } from "./useCursor.ts";
import { noteText, placeText, stateText } from "./words.ts";
import "./canvas.css";

const HEAT = heatProperties();

/** One run, step by step: canvases, charts, speeds. */
export function RunView({ run }: { run: Run }) {
  return (
    <section class="canvas-run" aria-label="Canvases of this answer" style={HEAT}>
      {run.canvases.length > 0 ? (
        <Steps key={run.id} run={run} />
      ) : (
        <p class="canvas-waiting">
          {run.state === "running" ? "Waiting for the first draft…" : "No canvas came."}
        </p>
      )}
      <p class="canvas-unseen" role="status">
        {stateText(run)}
      </p>
    </section>
  );
}

/** `run` has canvases. */
function Steps({ run }: { run: Run }) {
  const lengths = useMemo(() => run.canvases.map(stopsOf), [run.canvases]);
  const { track, cursor, setCursor, place } = useCursor(lengths);
  const canvas = run.canvases[place.canvas]!;
  const shown = useMemo(() => shownAt(canvas, place.stop), [canvas, place.stop]);
  const where = placeText(place.canvas, shown);
  const start = track.starts[place.canvas]!;
  return (
    <>
      <Strip
        canvases={run.canvases}
        current={place.canvas}
        onPick={(picked) => setCursor(cursorAtEndOf(track, picked))}
      />
      <StepSlider
        track={track}
        cursor={cursor}
        onCursor={setCursor}
        place={where}
        note={noteText(shown)}
        gapMs={(at) => gapMs(run, placeAt(track, at), placeAt(track, at + 1))}
        running={run.state === "running"}
      />
      <CanvasGrid shown={shown} label={`Tokens of canvas ${place.canvas + 1}`} />
      <div class="canvas-aside">
        <Charts
          canvas={canvas}
          stop={place.stop}
          onStop={(stop) => setCursor(cursorAt(track, start + stop))}
        />
        <SpeedTable
          names={[`canvas ${place.canvas + 1}`, "answer"]}
          columns={[canvasSpeeds(canvas, run.started?.canvasLength ?? 0), runSpeeds(run)]}
        />
      </div>
    </>
  );
}
