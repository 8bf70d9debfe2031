/** The model's card: facts, and the Markdown that its folder holds, as elements. Nothing in it becomes markup. */

import { element } from "./dom.js";

/**
 * The name and value of what a person would ask first.
 * @param {any} facts of /api/models/NAME.
 * @returns {[string, string][]}
 */
export function mainFacts(facts) {
  const { model, corpus } = facts.config ?? {};
  /** @type {[string, string][]} */
  const found = [];
  if (model) {
    found.push(["Network", `${model.cell.toUpperCase()}, ${model.num_layers} × ${model.hidden_size}`]);
    found.push(["Vocabulary", `${model.vocab_size.toLocaleString("en")} ${corpus?.vocabulary ?? "symbols"}`]);
  }
  if (corpus) found.push(["Trained on", `${corpus.characters.toLocaleString("en")} characters`]);
  const losses = facts.losses ?? facts.config?.losses ?? {};
  const [protocol, loss] = Object.entries(losses).find(([name]) => name === "stateful") ?? Object.entries(losses)[0] ?? [];
  if (loss) found.push([`Bits a character (${protocol})`, Number(loss.bits_per_char).toFixed(3)]);
  return found;
}

/** @param {[string, string][]} facts */
export function factList(facts) {
  return element("dl", { class: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value }))));
}

/**
 * A small part of Markdown: headings, paragraphs, lists, tables, fences, emphasis and code.
 * @param {string} source
 * @returns {HTMLElement[]} headings from level 3 on.
 */
export function fromMarkdown(source) {
  return markdownBlocks(source).map((block) => {
    if (block.kind === "heading") return element(`h${Math.min(6, block.level + 2)}`, {}, ...spans(block.text));
    if (block.kind === "code") return element("pre", { tabindex: "0" }, element("code", { text: block.text }));
    if (block.kind === "list") return element("ul", {}, ...block.lines.map((line) => element("li", {}, ...spans(line))));
    if (block.kind === "table") return table(block.lines);
    return element("p", {}, ...spans(block.text));
  });
}

/**
 * @typedef {{kind: "heading", level: number, text: string} | {kind: "code", text: string}
 *   | {kind: "paragraph", text: string} | {kind: "list", lines: string[]} | {kind: "table", lines: string[]}} Block
 */

/** @param {string} source @returns {Block[]} */
export function markdownBlocks(source) {
  const lines = source.split("\n");
  /** @type {Block[]} */
  const found = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const fence = line.match(/^(~~~|```)/);
    const heading = line.match(/^(#{1,6}) +(.*)/);
    if (fence) {
      const end = lines.findIndex((other, index) => index > at && other.startsWith(fence[1]));
      found.push({ kind: "code", text: lines.slice(at + 1, end < 0 ? undefined : end).join("\n") });
      at = end < 0 ? lines.length : end + 1;
    } else if (heading) {
      found.push({ kind: "heading", level: heading[1].length, text: heading[2] });
      at += 1;
    } else if (!line.trim() || /^!\[.*\]\(.*\)$/.test(line.trim())) at += 1;
    else {
      const test = /^\|/.test(line) ? /^\|/ : /^[-*] /.test(line) ? /^[-*] / : null;
      let end = at + 1;
      while (end < lines.length && (test ? test.test(lines[end]) : lines[end].trim() && !/^(#|\||~~~|```)/.test(lines[end]))) end += 1;
      const part = lines.slice(at, end);
      if (!test) found.push({ kind: "paragraph", text: part.join(" ") });
      else if (line.startsWith("|")) found.push({ kind: "table", lines: part });
      else found.push({ kind: "list", lines: part.map((item) => item.slice(2)) });
      at = end;
    }
  }
  return found;
}

/** @param {string[]} lines */
function table(lines) {
  const rows = lines
    .filter((line) => !/^\|[\s:|-]+\|?$/.test(line))
    .map((line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
  const [head, ...body] = rows;
  const row = (/** @type {string[]} */ cells, /** @type {string} */ name) =>
    element("tr", {}, ...cells.map((cell) => element(name, name === "th" ? { scope: "col" } : {}, ...spans(cell))));
  const made = element("table", {}, element("thead", {}, row(head, "th")), element("tbody", {}, ...body.map((cells) => row(cells, "td"))));
  return element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" }, made);
}

/** @param {string} text @returns {(Node | string)[]} */
function spans(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (/^`.+`$/.test(part)) return element("code", { text: part.slice(1, -1) });
    if (/^\*\*.+\*\*$/.test(part)) return element("strong", { text: part.slice(2, -2) });
    return part;
  });
}
