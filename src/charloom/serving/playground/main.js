/** The playground of a server: what it has beside writing and scoring. Models, a key, notes, neurons, the request. */

import { BackendError } from "./backend.js";
import { byId, element } from "./dom.js";
import { temperatureNote, unitNotes } from "./notes.js";
import { offerPrompts, openingText } from "./opening.js";
import { Page } from "./page.js";
import { connectCopying, showRequest } from "./request.js";
import { Server, requestBody } from "./server.js";
import { fromHash } from "./settings.js";

const CONTEXT = 1000; // characters of the text that the notes look at

/** @type {{unit: number, layer: number} | null} */
let chosenUnit = null;
/** @type {[string, number][]} */
let nextTop = []; // what may follow the prompt
let cell = "";
let looks = 0; // inside the model: of several on the way the last one counts

const server = new Server();
const page = new Page(server, {
  changed: () => {
    program();
    temperature();
  },
  ended: () => {
    program();
    temperature();
    lookInside();
  },
  opened: (id) => {
    byId("notes").hidden = id === "score-view" || id === "compare-view"; // the notes are about what was written
  },
  looked: (unit, layer) => {
    chosenUnit = { unit, layer };
    lookInside();
  },
  addressed: () => {
    if (byId("model").value !== byId("model-name").textContent) modelChanged();
  },
  failed: (error) => {
    if (!(error instanceof BackendError) || error.status !== 401) return;
    byId("key-form").hidden = false;
    byId("key").focus();
  },
});

page.writer.panel.onShow = temperature;
connectCopying((message) => page.announcer.say(message));
byId("prompt").addEventListener("change", () => page.writer.text || lookAhead());
byId("model").addEventListener("change", async () => {
  page.settingsChanged();
  await modelChanged();
  openingText(page);
});
byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  server.key = byId("key").value.trim();
  byId("key-form").hidden = true;
  start();
});
start();

async function start() {
  const wished = fromHash(location.hash, server.usual).model;
  let names;
  try {
    names = await server.models();
  } catch (error) {
    page.failed(error);
    if (error instanceof BackendError && error.status === 503) setTimeout(start, 1000 * Math.max(1, error.retryAfter));
    return;
  }
  page.began();
  byId("model").replaceChildren(...names.map((name) => element("option", { value: name, text: name })));
  byId("model").value = names.includes(wished) ? wished : names[0];
  byId("model-field").hidden = names.length < 2;
  byId("model-name").hidden = names.length > 1;
  await modelChanged();
  page.open();
}

async function modelChanged() {
  const { model } = page.settings;
  byId("model").value = model; // also where the address names one that is not here
  byId("model-name").textContent = model;
  chosenUnit = null;
  const before = server.usual;
  page.neurons.reset();
  unitNotes(null);
  let facts;
  try {
    facts = await server.facts(model);
  } catch (error) {
    return page.failed(error);
  }
  if (page.settings.model !== model) return; // another one was chosen meanwhile
  cell = facts.config.model.cell;
  page.use({ ...facts, shape: facts.config.model, corpus: facts.config.corpus }, before);
  byId("model").value = model;
  byId("card").replaceChildren(element("pre", { tabindex: "0", role: "region", "aria-label": "Card of the model", text: facts.card ?? "" }));
  lookAhead();
  lookInside();
  introduce(model);
}

/** Offer what a model offers by itself; the page does without. @param {string} model */
async function introduce(model) {
  const found = await server.introduction(model).catch(() => ({ prompts: [], units: [] }));
  if (page.settings.model !== model) return;
  offerPrompts(page, found.prompts);
  page.neurons.name(found.units);
}

/** Show the request for the settings, with the seed of the last text where none is set. */
function program() {
  const { settings, writer } = page;
  showRequest(requestBody(settings, settings.seed ?? writer.seed, server.sampling), server.key !== "");
}

function temperature() {
  temperatureNote(page.writer.top.length ? page.writer.top : nextTop, page.settings.temperature);
}

/** Ask what may follow the prompt, so that the first note has something to show before a text is written. */
async function lookAhead() {
  const { settings } = page;
  const found = await server.next(settings).catch(() => []); // the note does without
  if (page.settings.model !== settings.model) return;
  nextTop = found;
  temperature();
}

/** Fetch the values for the notes on the hidden state and the gates. */
async function lookInside() {
  const { model, prompt } = page.settings;
  const whole = page.writer.text || prompt;
  const text = (page.items ? whole.slice(whole.lastIndexOf("\n") + 1) : whole).slice(-CONTEXT); // an item is written by itself
  if (!text) return unitNotes(null);
  const where = chosenUnit ? { layer: chosenUnit.layer, units: [chosenUnit.unit] } : {};
  looks += 1;
  const look = looks;
  const found = await server.activations({ model, text, ...where }).catch(() => null); // the text itself is what matters
  if (look === looks) unitNotes(found && { characters: found.characters, ...found.units[0], cell });
}
