/** The page put together: models, settings, and what happens when something is written. */

import { Announcer } from "./announce.js";
import { ApiError, activations, hasKey, modelFacts, modelNames, nextCharacters, useKey } from "./api.js";
import { factList, fromMarkdown, mainFacts } from "./card.js";
import { lossCurve } from "./curve.js";
import { byId, element, fill } from "./dom.js";
import { Neurons } from "./neuron.js";
import { temperatureNote, unitNotes } from "./notes.js";
import { connectCopying, showRequest } from "./request.js";
import { connectScoring } from "./score.js";
import { USUAL, fromForm, fromHash, toForm, toHash } from "./settings.js";
import { connectTabs } from "./tabs.js";
import { Writer } from "./write.js";

const CONTEXT = 1000; // characters of the text that the notes look at

const form = byId("settings");
const announcer = new Announcer(byId("live"));
/** @type {string[]} */
let names = [];
/** @type {any} */
let facts = null;
/** @type {{unit: number, layer: number} | null} */
let chosenUnit = null;
/** @type {[string, number][]} */
let nextTop = [];
let looks = 0; // inside the model: of several on the way the last one counts

const settings = () => {
  const given = fromForm(form);
  return { ...given, model: byId("model").value || names[0] || "" };
};

const own = () => facts?.sampling ?? {};

const writer = new Writer({
  settings,
  own,
  usePrompt: (prompt) => {
    form.elements.namedItem("prompt").value = prompt;
    settingsChanged();
  },
  announcer,
  failed,
  began,
  changed: (ended) => {
    temperatureNote(writer.top.length ? writer.top : nextTop, settings().temperature);
    if (!ended) return;
    seedButton(settings().seed);
    showRequest(settings(), writer.seed, own(), hasKey());
    lookInside();
  },
});

const neurons = new Neurons({
  model: () => settings().model,
  written: () => writer.text,
  failed,
  began,
  say: (message) => announcer.say(message),
  chose: (unit, layer) => {
    chosenUnit = { unit, layer };
    lookInside();
  },
});

const openTab = connectTabs(byId("views"), (id) => {
  byId("surprise").hidden = id === "neurons-view"; // which has colours of its own
  if (id === "neurons-view") neurons.opened();
});

connectScoring({
  model: () => settings().model,
  failed,
  began,
  say: (message) => announcer.say(message),
  branch: (before, character, top) => {
    openTab("write-view");
    writer.branchFromScored(before, character, top);
  },
});

connectCopying((message) => announcer.say(message));
connectForm();
byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  byId("key-form").hidden = true;
  start();
});
toForm(form, fromHash(location.hash));
start();

function connectForm() {
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    writer.generate();
  });
  form.addEventListener("input", settingsChanged);
  byId("prompt").addEventListener("change", () => writer.view.characters.length || aheadOfText());
  byId("prompt").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  byId("new-seed").addEventListener("click", () => {
    byId("seed").value = byId("seed").value === "" && writer.seed !== null ? writer.seed : "";
    settingsChanged();
  });
  byId("usual").addEventListener("click", () => {
    toForm(form, { ...USUAL, prompt: settings().prompt });
    settingsChanged();
  });
  byId("model").addEventListener("change", () => {
    settingsChanged();
    modelChanged();
  });
  window.addEventListener("hashchange", () => {
    const given = fromHash(location.hash);
    if (toHash(given) === addressed()) return;
    const another = given.model && given.model !== settings().model;
    toForm(form, given);
    if (names.includes(given.model)) byId("model").value = given.model;
    settingsChanged();
    if (another) modelChanged();
  });
}

/** What the address says: the model only where there is a choice. */
function addressed() {
  const now = settings();
  return toHash(names.length > 1 && now.model !== names[0] ? now : { ...now, model: "" });
}

function settingsChanged() {
  const now = settings();
  for (const output of form.querySelectorAll("output")) output.value = form.elements.namedItem(output.htmlFor.value).value;
  seedButton(now.seed);
  history.replaceState(null, "", `#${addressed()}`);
  showRequest(now, writer.seed, own(), hasKey());
  temperatureNote(writer.top.length ? writer.top : nextTop, now.temperature);
}

/** @param {number | null} seed that is set. */
function seedButton(seed) {
  byId("new-seed").textContent = seed === null ? "Keep this seed" : "Draw anew";
  byId("new-seed").disabled = seed === null && writer.seed === null;
}

async function start() {
  try {
    names = await modelNames();
  } catch (error) {
    failed(error);
    if (error instanceof ApiError && error.status === 503) setTimeout(start, 1000 * Math.max(1, error.retryAfter));
    return;
  }
  began();
  const wished = fromHash(location.hash).model;
  fill(byId("model"), ...names.map((name) => element("option", { value: name, text: name })));
  byId("model").value = names.includes(wished) ? wished : names[0];
  byId("model-field").hidden = names.length < 2;
  byId("model-name").hidden = names.length > 1;
  settingsChanged();
  await modelChanged();
}

async function modelChanged() {
  const { model } = settings();
  byId("model-name").textContent = model;
  chosenUnit = null;
  neurons.reset();
  unitNotes(null);
  let found;
  try {
    found = await modelFacts(model);
  } catch (error) {
    return failed(error);
  }
  if (settings().model !== model) return; // another one was chosen meanwhile
  facts = found;
  showRequest(settings(), writer.seed, own(), hasKey());
  fill(byId("facts"), factList(mainFacts(facts)));
  fill(byId("curve"), lossCurve(facts.history ?? []) ?? element("p", { class: "soft", text: "There is no history of its training." }));
  fill(byId("card"), ...fromMarkdown(facts.card ?? ""));
  await Promise.all([aheadOfText(), lookInside()]);
}

/** Ask what may follow the prompt, so that the first note has something to show before a text is written. */
async function aheadOfText() {
  const { model, prompt, temperature } = settings();
  /** @type {[string, number][]} */
  let found = [];
  try {
    found = await nextCharacters(model, prompt);
  } catch {
    // the note does without
  }
  if (settings().model !== model) return;
  nextTop = found;
  temperatureNote(writer.top.length ? writer.top : nextTop, temperature);
}

/** Fetch the values for the notes on the hidden state and the gates. */
async function lookInside() {
  const text = (writer.text || settings().prompt).slice(-CONTEXT);
  if (!text) return unitNotes(null);
  const where = chosenUnit ? { layer: chosenUnit.layer, units: [chosenUnit.unit] } : {};
  looks += 1;
  const look = looks;
  try {
    const found = await activations({ model: settings().model, text, ...where });
    const [{ unit, values }] = found.units;
    if (look === looks) unitNotes({ characters: found.characters, values, unit, cell: facts?.config?.model?.cell ?? "" });
  } catch {
    if (look === looks) unitNotes(null); // the text itself is what matters
  }
}

function began() {
  byId("error").textContent = "";
  byId("error").hidden = true;
}

/** One line near the form. @param {unknown} error */
function failed(error) {
  const known = error instanceof ApiError;
  const later = known && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  byId("error").textContent = known ? `${error.message}${later}` : `something went wrong in this page: ${error}`;
  byId("error").hidden = false;
  if (known && error.status === 401) {
    byId("key-form").hidden = false;
    byId("key").focus();
  }
}
