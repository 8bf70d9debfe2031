// The page: a form, a text, and the thread that computes.

import { surpriseLegend } from "./surprise.js";
import { Speech } from "./speech.js";
import { TextView } from "./text_view.js";
import { cleanedPrompt, Vocabulary } from "./vocabulary.js";

const LONGEST = 50_000; // ids of a text, prompt and branches included
const part = (id) => document.getElementById(id);
const description = JSON.parse(part("description").textContent);
const vocabulary = new Vocabulary(description.vocabulary);
const speech = new Speech(part("speech"));
const form = part("form");
const field = (name) => form.elements.namedItem(name); // form.elements.length is something else

/** What is on the page: the ids shown, how many of them were given, and what their writing cost. */
const text = { ids: [], given: 0, opened: false, seed: 0, bits: 0, counted: 0, written: 0 };
let run = 0; // the number of the last request; what belongs to an older one is passed over
let writing = null; // {started} while characters come
let focusOn = null; // the index to focus as soon as it is there

const view = new TextView({
  frame: part("frame"),
  text: part("text"),
  guesses: part("guesses"),
  vocabulary,
  branch: (index, id) => {
    focusOn = index;
    go([...text.ids.slice(0, index), id], index, Math.min(text.given, index));
  },
});

const worker = new Worker(URL.createObjectURL(new Blob([part("worker").textContent], { type: "text/javascript" })));
worker.onerror = (event) => failed(event.message || "the thread that computes did not start");
worker.onmessage = ({ data }) => {
  if (data.kind === "ready") {
    part("generate").disabled = false;
    say("Ready.");
  } else if (data.kind === "failed") failed(data.message);
  else if (data.run !== run || !writing) return;
  else if (data.kind === "tokens") show(data.tokens);
  else stopped("Done");
};

function settings() {
  const number = (name) => field(name).valueAsNumber;
  const entered = { temperature: 0, top_k: 0, top_p: 0, min_p: 0 };
  for (const name of Object.keys(entered)) entered[name] = number(name);
  text.seed = Number.isNaN(number("seed")) ? Math.floor(Math.random() * 2 ** 32) : number("seed");
  return { ...entered, seed: text.seed };
}

function generate() {
  const prompt = cleanedPrompt(field("prompt").value, description.cleaning);
  const ids = vocabulary.encode(prompt);
  const unknown = vocabulary.unknownCharacters(prompt);
  part("unknown").hidden = !unknown.length;
  part("unknown").textContent = `Not in this model’s vocabulary, read as unknown: ${unknown.slice(0, 20).join(" ")}`;
  text.opened = !ids.length; // an empty prompt is read as the start of a line
  focusOn = null;
  go(ids, 0, ids.length);
}

/** Show `ids` from number `from` on, and write more; the first `given` of them were not written by the model. */
function go(ids, from, given) {
  if (!form.reportValidity()) return;
  const length = field("length").valueAsNumber;
  if (ids.length + length > LONGEST) {
    say(`This page shows texts of at most ${LONGEST.toLocaleString("en")} characters: choose a smaller length.`);
    return;
  }
  if (from) view.truncate(from);
  else view.clear();
  speech.clear();
  Object.assign(text, { ids: text.ids.slice(0, from), given, bits: 0, counted: 0, written: 0 });
  view.cells.forEach(count);
  run += 1;
  writing = { started: performance.now() };
  controls();
  const opening = text.opened ? [description.opening_id] : [];
  const request = { ids: [...opening, ...ids], from: from + opening.length, length, settings: settings() };
  worker.postMessage({ kind: "write", run, ...request });
  say("Writing …");
}

function count(cell) {
  if (cell.bits === null || !cell.written) return;
  text.bits += cell.bits;
  text.counted += 1;
}

function show(tokens) {
  for (const token of tokens) {
    token.index -= text.opened ? 1 : 0;
    text.ids.push(token.id);
  }
  const cells = view.append(tokens, text.given);
  cells.forEach(count);
  const written = cells.filter((cell) => cell.written);
  text.written += written.length;
  speech.add(written.map((cell) => cell.text).join(""));
  if (focusOn !== null && text.ids.length > focusOn) {
    view.focus(focusOn);
    focusOn = null;
  }
  figures();
}

/** The running figures; they are not read aloud. */
function figures() {
  part("bits").textContent = text.counted ? (text.bits / text.counted).toFixed(2) : "–";
  part("count").textContent = text.counted.toLocaleString("en");
  const seconds = (performance.now() - writing.started) / 1000;
  part("rate").textContent = Math.round(text.written / seconds).toLocaleString("en");
}

function stopped(how) {
  figures();
  writing = null;
  controls();
  say(`${how}: ${text.written.toLocaleString("en")} characters, seed ${text.seed}.`);
  speech.end(`${how}, ${text.written} characters.`);
}

function failed(message) {
  writing = null;
  controls();
  say(`This browser could not run the model: ${message}`);
}

function controls() {
  part("stop").disabled = !writing;
  document.body.classList.toggle("writing", writing !== null);
}

function say(message) {
  part("status").textContent = message;
}

function facts() {
  for (const [name, value] of description.facts) {
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    part("facts").append(term, detail);
  }
}

for (const [name, value] of Object.entries(description.sampling)) field(name).value = value;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
field("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
part("stop").addEventListener("click", () => {
  if (!writing) return;
  worker.postMessage({ kind: "stop" });
  part("generate").focus();
  stopped("Stopped");
});
part("legend").append(surpriseLegend(document));
facts();
worker.postMessage({ kind: "load", description, weights: part("weights").textContent, longest: LONGEST + 1 });
part("weights").remove(); // megabytes that are not needed twice
