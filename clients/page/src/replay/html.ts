// A run as a page of its own: one file that opens without a server and calls nobody.

/** The code and the style of a page. */
export interface Sources {
  script: string;
  style: string;
}

// The file is written once and all that is in it is escaped, so a fixed nonce says as much as
// hashes would; and hashes cannot be computed by a page that came over plain HTTP.
const NONCE = "replay";
const POLICY = [
  "default-src 'none'",
  "img-src data: blob:",
  "media-src blob:",
  `script-src 'nonce-${NONCE}'`,
  `style-src 'nonce-${NONCE}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** `json` is what `runJson` wrote. */
export function replayHtml(title: string, json: string, sources: Sources): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapedText(title)}</title>
<style nonce="${NONCE}">${escapedStyle(sources.style)}</style>
</head>
<body>
<div id="page"></div>
<script type="application/json" id="replay">${escapedJson(json)}</script>
<script type="module" nonce="${NONCE}">${escapedScript(sources.script)}</script>
</body>
</html>
`;
}

/** Those of the page in `document`, which may be a replay itself. */
export async function sourcesOf(document: Document): Promise<Sources> {
  const script = document.querySelector<HTMLScriptElement>('script[type="module"]');
  const links = [...document.querySelectorAll<HTMLLinkElement>('link[rel="stylesheet"]')];
  const styles = [...document.querySelectorAll("style")].map((style) => style.textContent);
  const linked = await Promise.all(links.map((link) => textAt(link.href)));
  return {
    script: script?.src ? await textAt(script.src) : (script?.textContent ?? ""),
    style: [...linked, ...styles].join("\n"),
  };
}

async function textAt(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.text();
}

function escapedText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** In JSON, `<` stands in strings alone. */
function escapedJson(json: string): string {
  return json.replaceAll("<", "\\u003c");
}

/** What would end the element, or let it go on past its end, stands in strings and patterns alone. */
function escapedScript(script: string): string {
  return script.replace(/<(?=\/script|!--)/gi, "\\x3c");
}

function escapedStyle(style: string): string {
  return style.replace(/<(?=\/style)/gi, "\\3c ");
}
