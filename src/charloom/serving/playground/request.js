/** The request as a person would write it elsewhere: for curl, and for the openai client in Python. */

import { answerOn, copied } from "./copying.js";
import { byId } from "./dom.js";

const KNOWN_TO_OPENAI = new Set(["model", "prompt", "max_tokens", "temperature", "top_p", "seed"]);

/**
 * @param {string} server its address.
 * @param {Record<string, unknown>} body
 * @param {boolean} keyed whether the server wants a key.
 * @returns {string} a command for a POSIX shell.
 */
export function asCurl(server, body, keyed = false) {
  const data = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const key = keyed ? '  -H "Authorization: Bearer $CHARLOOM_API_KEY" \\\n' : "";
  return `curl ${server}/v1/completions \\\n  -H 'Content-Type: application/json' \\\n${key}  -d '${data}'`;
}

/**
 * @param {string} server its address.
 * @param {Record<string, unknown>} body
 * @returns {string} a program that prints the text.
 */
export function asPython(server, body) {
  const entries = Object.entries(body);
  const lines = entries
    .filter(([name]) => KNOWN_TO_OPENAI.has(name))
    .map(([name, value]) => `    ${name}=${literal(value)},`);
  const others = entries.filter(([name]) => !KNOWN_TO_OPENAI.has(name));
  if (others.length) {
    const pairs = others.map(([name, value]) => `"${name}": ${literal(value)}`).join(", ");
    lines.push(`    extra_body={${pairs}},`);
  }
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${literal(`${server}/v1`)}, api_key="your key, if the server wants one")`,
    "answer = client.completions.create(",
    ...lines,
    ")",
    "print(answer.choices[0].text)",
  ].join("\n");
}

/** A JSON string or number is one in Python too. @param {unknown} value */
function literal(value) {
  return JSON.stringify(value);
}

/** Show a request in the page. @param {Record<string, unknown>} body @param {boolean} keyed whether the server wants a key. */
export function showRequest(body, keyed) {
  const server = new URL(".", document.baseURI).href.replace(/\/$/, "");
  byId("curl").textContent = asCurl(server, body, keyed);
  byId("python").textContent = asPython(server, body);
}

/** Let the buttons copy the text beside them. @param {(message: string) => void} say */
export function connectCopying(say) {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = byId(button.getAttribute("data-copy") ?? "");
      answerOn(button, (await copied(source.textContent ?? "", source)) ? "Copied" : "Selected: press Ctrl+C", say);
    });
  }
}
