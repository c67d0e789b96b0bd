// Which tokens of a canvas are selected: all from `anchor` to `focus`, both counted.

export interface Selection {
  anchor: number;
  /** Where arrow keys go on from. */
  focus: number;
}

/** From the first selected token up to the one after the last. */
export function range({ anchor, focus }: Selection): [start: number, end: number] {
  return [Math.min(anchor, focus), Math.max(anchor, focus) + 1];
}

/** The selection after a key, of `count` tokens; `extend` is Shift. Undefined for other keys. */
export function moved(
  selection: Selection | undefined,
  key: string,
  extend: boolean,
  count: number,
): Selection | undefined {
  const target = targetOf(selection, key, count);
  if (target === undefined) return undefined;
  const focus = Math.min(Math.max(target, 0), count - 1);
  return { anchor: extend && selection ? selection.anchor : focus, focus };
}

/** The selection after a touch, which has no Shift: a second one extends the first. */
export function touched(selection: Selection | undefined, at: number): Selection {
  const first = selection?.anchor === selection?.focus ? selection?.anchor : undefined;
  return { anchor: first ?? at, focus: at };
}

function targetOf(
  selection: Selection | undefined,
  key: string,
  count: number,
): number | undefined {
  switch (key) {
    case "ArrowLeft":
      return selection ? selection.focus - 1 : count - 1;
    case "ArrowRight":
      return selection ? selection.focus + 1 : 0;
    case "Home":
      return 0;
    case "End":
      return count - 1;
  }
}
