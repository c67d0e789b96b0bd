import type { TargetedPointerEvent } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { CanvasRun } from "../run.ts";
import { chartOf, nearest, type Chart } from "./chart.ts";
import { figuresOf, type FigureChart, type Figures } from "./figures.ts";
import { rate } from "./speedRows.ts";

const SIZE = { width: 200, height: 56 };

interface Props {
  canvas: CanvasRun;
  stop: number;
  onStop: (stop: number) => void;
}

/** What the steps of one canvas were like, with a cursor at the step that is shown. */
export function Charts({ canvas, stop, onStop }: Props) {
  const figures = useMemo(() => figuresOf(canvas), [canvas]);
  return (
    <section class="canvas-charts" aria-label="Charts">
      <div class="canvas-multiples">
        {figures.charts.map((chart) => (
          <Multiple
            key={chart.name}
            figure={chart}
            steps={figures.steps}
            stop={stop}
            onStop={onStop}
          />
        ))}
      </div>
      <Table figures={figures} stop={stop} />
    </section>
  );
}

interface MultipleProps {
  figure: FigureChart;
  steps: readonly number[];
  stop: number;
  onStop: (stop: number) => void;
}

function Multiple({ figure, steps, stop, onStop }: MultipleProps) {
  const { name, unit, series } = figure;
  const chart = useMemo(() => {
    const values = series.map((each) => each.values);
    return chartOf(steps, values, SIZE);
  }, [figure, steps]);
  const [main, ...parts] = series;
  const pick = (event: TargetedPointerEvent<SVGSVGElement>) => {
    if (event.buttons !== 1) return;
    const { left, width } = event.currentTarget.getBoundingClientRect();
    onStop(nearest(chart.xs, ((event.clientX - left) / width) * SIZE.width));
  };
  return (
    <figure class="canvas-chart">
      <figcaption>
        {name} <b>{rate(main!.values[stop])}</b> <small>{unit}</small>
        {parts.map((part) => (
          <span key={part.name} class={`canvas-part canvas-line-${part.name}`}>
            {part.name} {rate(part.values[stop])}
          </span>
        ))}
        <small class="canvas-top" title="top of the scale">
          {chart.top}
        </small>
      </figcaption>
      <svg
        viewBox={`0 0 ${SIZE.width} ${SIZE.height}`}
        preserveAspectRatio="none"
        aria-hidden="true"
        onPointerDown={pick}
        onPointerMove={pick}
      >
        <path
          class="canvas-grid-line"
          d={`M0 ${chart.y(0)}H${SIZE.width}M0 ${chart.y(chart.top)}H${SIZE.width}`}
        />
        {series.map((each, i) => (
          <path
            key={each.name}
            class={`canvas-line canvas-line-${i ? each.name : "main"}`}
            d={chart.paths[i]}
          />
        ))}
        <StepCursor chart={chart} stop={stop} value={main!.values[stop]} />
      </svg>
    </figure>
  );
}

function StepCursor({ chart, stop, value }: { chart: Chart; stop: number; value?: number }) {
  const x = chart.xs[stop];
  if (x === undefined) return null;
  return (
    <>
      <path class="canvas-cursor" d={`M${x} 0V${SIZE.height}`} />
      {value !== undefined && <path class="canvas-dot" d={`M${x} ${chart.y(value)}h0`} />}
    </>
  );
}

/** The same figures as numbers; built when it is opened. */
function Table({ figures, stop }: { figures: Figures; stop: number }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="canvas-numbers" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Figures as a table</summary>
      {open && (
        <div class="canvas-scroll" role="group" aria-label="Figures of each step" tabIndex={0}>
          <FigureTable figures={figures} stop={stop} />
        </div>
      )}
    </details>
  );
}

function FigureTable({ figures, stop }: { figures: Figures; stop: number }) {
  const columns = figures.charts.flatMap(({ name, unit, series }) =>
    series.map((each, i) => ({ name: i ? each.name : name, unit, values: each.values })),
  );
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">step</th>
          {columns.map(({ name, unit }) => (
            <th key={name} scope="col">
              {name} <small>{unit}</small>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {figures.steps.map((step, i) => (
          <tr key={step} aria-current={i === stop ? "step" : undefined}>
            <th scope="row">{step}</th>
            {columns.map(({ name, values }) => (
              <td key={name}>{rate(values[i])}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
