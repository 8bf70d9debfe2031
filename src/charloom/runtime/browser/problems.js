/** What went wrong, in words: at the field that it is about, or in one line above the form. */

import { BackendError } from "./backend.js";
import { byId, element } from "./dom.js";

const FIELDS = /** @type {Record<string, string>} */ ({ max_tokens: "length", units: "unit" }); // where the page has another name
const PREFIX = /^\w+(?: = (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^:]*))?: /; // "regex = '[a': ", as the back end begins

/** Show nothing any more. */
export function clearProblems() {
  byId("error").hidden = true;
  byId("error-text").textContent = "";
  for (const shown of document.querySelectorAll(".field-error")) shown.remove();
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-errormessage");
  }
}

/**
 * What was being written when something went wrong.
 * @typedef {object} Broken
 * @property {number} count characters that came before, and are shown.
 * @property {() => void} again tries it once more.
 */

/**
 * @param {unknown} error
 * @param {Broken | null} broken
 */
export function showProblem(error, broken) {
  clearProblems();
  const known = error instanceof BackendError;
  const input = known && error.field ? inputOf(error.field) : null;
  if (known && input) return showAt(input, error.message);
  const kept = broken?.count ? ` ${broken.count.toLocaleString("en")} characters came before that; they are kept.` : "";
  const later = known && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  byId("error-text").textContent = known ? `${sentence(error.message)}${kept}${later}` : `Something went wrong in this page: ${error}`;
  byId("error").hidden = false;
  byId("again").hidden = !broken || !known || (error.status > 0 && error.status < 500);
  byId("again").onclick = broken?.again ?? null;
}

/** @param {string} field as the back end calls it. @returns {HTMLInputElement | null} */
function inputOf(field) {
  const input = /** @type {HTMLInputElement | null} */ (document.querySelector(`#settings [name="${CSS.escape(FIELDS[field] ?? field)}"]`));
  return input && !input.closest('[role="tabpanel"]')?.hasAttribute("hidden") ? input : null;
}

/** @param {HTMLInputElement} input @param {string} message */
function showAt(input, message) {
  const label = document.querySelector(`label[for="${input.id}"]`)?.textContent ?? input.name;
  const said = element("p", { class: "field-error", id: `${input.id}-error`, role: "alert", text: `${label}: ${message.replace(PREFIX, "")}` });
  openAround(input);
  (input.closest(".field") ?? input).after(said);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-errormessage", said.id);
  input.focus();
}

/** Open what a field is closed away in. @param {Element} input */
export function openAround(input) {
  for (let around = input.closest("details"); around; around = around.parentElement?.closest("details") ?? null) around.open = true;
}

/** @param {string} text */
function sentence(text) {
  const first = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
