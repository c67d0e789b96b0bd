import { useSignal } from "@preact/signals";
import { ended, type Run } from "../run.ts";
import "./export.css";
import { replayHtml, sourcesOf } from "./html.ts";
import { runJson } from "./json.ts";
import { fileName, save } from "./save.ts";

/** Buttons that save a run as JSON, and as a page of its own. */
export function Export({ run }: { run: Run }) {
  const problem = useSignal("");
  const trying = (saving: () => Promise<void>) => async () => {
    problem.value = "";
    try {
      await saving();
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
    }
  };
  return (
    <div class="export" role="group" aria-label="Export">
      <button type="button" onClick={trying(() => saveJson(run))}>
        Save as JSON
      </button>
      <button type="button" onClick={trying(() => saveReplay(run))}>
        Save as replay
      </button>
      <span class="export-note">
        A replay is one HTML file that shows every step of this run, without a server.
      </span>
      {problem.value && (
        <p class="export-problem" role="alert">
          Not saved: {problem.value}
        </p>
      )}
    </div>
  );
}

async function saveJson(run: Run): Promise<void> {
  save(fileName(run, "json"), runJson(still(run)), "application/json");
}

async function saveReplay(run: Run): Promise<void> {
  const json = runJson(still(run));
  const title = `Palimpsest: ${run.answer.text.trim().slice(0, 60) || "a run"}`;
  save(fileName(run, "html"), replayHtml(title, json, await sourcesOf(document)), "text/html");
}

/** Nothing goes on in a file. */
function still(run: Run): Run {
  return run.state === "running" ? ended(run) : run;
}
