// Where calls go and what is sent along, checked before one is made: what `fetch` cannot take it
// refuses as if nobody were there.

import { invalidField } from "./errors.js";

const HTTP = ["http:", "https:"];

/** Throws `invalid_argument` for what is no URL of a server. A page's own may be relative. */
export function checkBaseUrl(baseUrl: string): void {
  // Of a host and a port alone, the host would be the scheme.
  if (!HTTP.includes(schemeOf(baseUrl))) {
    const example = "http://127.0.0.1:8080";
    throw invalidField("baseUrl", `'${baseUrl}' is no URL of HTTP, such as ${example}`);
  }
}

/** Throws `invalid_argument` for what HTTP cannot send. */
export function checkHeaders(headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    try {
      new Headers([[name, value]]);
    } catch {
      // Without the cause, which quotes what may be a key.
      throw invalidField(`headers.${name}`, "HTTP can send no header of this name or value");
    }
  }
}

/** Empty for what is no URL. */
function schemeOf(url: string): string {
  try {
    return new URL(url, globalThis.location?.href).protocol;
  } catch {
    return "";
  }
}
