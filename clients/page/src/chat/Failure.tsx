import type { RunError } from "../run.ts";

/** Why there is no answer, or not all of it. */
export function Failure(props: { error: RunError; onRetry: (() => void) | undefined }) {
  const { code, message, violations } = props.error;
  return (
    <div class="chat-failure" role="alert">
      <p>
        <strong>{code.replaceAll("_", " ")}</strong> {violations.length === 0 && message}
      </p>
      {violations.length > 0 && (
        <dl>
          {violations.map(({ field, description }) => (
            <div key={field}>
              <dt>
                <code>{field}</code>
              </dt>
              <dd>{description.replace(`${field}: `, "")}</dd>
            </div>
          ))}
        </dl>
      )}
      {props.onRetry && (
        <button type="button" onClick={props.onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
