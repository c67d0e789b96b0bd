import { speedRows } from "./speedRows.ts";
import type { Speeds } from "./speeds.ts";

interface Props {
  /** Names of the columns. */
  names: readonly string[];
  columns: readonly Speeds[];
}

/** Speeds by name, one column beside the other. */
export function SpeedTable({ names, columns }: Props) {
  return (
    <table class="canvas-speeds">
      <caption class="canvas-unseen">Speeds</caption>
      <thead>
        <tr>
          <td />
          {names.map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {speedRows(columns).map(({ name, meaning, values }) => (
          <tr key={name} title={meaning}>
            <th scope="row">{name}</th>
            {values.map((value, i) => (
              <td key={i}>{value}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
