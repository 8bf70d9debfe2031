/** Views under one row of tabs. */

import { byId } from "./dom.js";

/**
 * Views under one row of tabs; arrow keys go between them.
 * @param {HTMLElement} row with role="tablist".
 * @param {(id: string) => void} opened receives the panel's id.
 * @returns {(id: string) => void} opens the panel with this id.
 */
export function connectTabs(row, opened) {
  const tabs = /** @type {HTMLElement[]} */ ([...row.querySelectorAll('[role="tab"]')]);
  const panelOf = (/** @type {HTMLElement} */ tab) => String(tab.getAttribute("aria-controls"));

  /** @param {string} id */
  function open(id) {
    for (const tab of tabs) {
      const selected = panelOf(tab) === id;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      byId(panelOf(tab)).hidden = !selected;
    }
    opened(id);
  }

  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(panelOf(tab)));
    tab.addEventListener("keydown", (event) => {
      const goal = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (goal === undefined) return;
      const next = tabs[goal % tabs.length];
      open(panelOf(next));
      next.focus();
      event.preventDefault();
    });
  }
  return open;
}
