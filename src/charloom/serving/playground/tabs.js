/** Three views under one row of tabs; arrow keys go between them. */

/**
 * @param {HTMLElement} row with role="tablist".
 * @param {(id: string) => void} opened receives the panel's id.
 * @returns {(id: string) => void} opens the panel with this id.
 */
export function connectTabs(row, opened) {
  const tabs = /** @type {HTMLElement[]} */ ([...row.querySelectorAll('[role="tab"]')]);

  /** @param {HTMLElement} chosen */
  function open(chosen) {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !selected;
    }
    opened(chosen.getAttribute("aria-controls") ?? "");
  }

  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const goal = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (goal === undefined) return;
      const next = tabs[goal % tabs.length];
      open(next);
      next.focus();
      event.preventDefault();
    });
  }
  return (id) => {
    const tab = tabs.find((each) => each.getAttribute("aria-controls") === id);
    if (tab) open(tab);
  };
}
