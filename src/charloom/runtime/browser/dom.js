/** Making elements, without markup in strings: text stays text. */

/**
 * @param {string} name of the element.
 * @param {Record<string, unknown>} [attributes] `text` (its content), `on` (listeners by event name), and any
 *   attribute; false, null and undefined leave one out, true gives it without a value.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The element of the page with this id. @param {string} id @returns {any} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** @param {[string, string][]} facts names and values. @param {string} look its class. */
export function factList(facts, look) {
  return element("dl", { class: look }, ...facts.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value }))));
}

/**
 * An element with attributes and children, as `element` takes them.
 * @template {Element} Kind
 * @param {Kind} made @param {Record<string, unknown>} attributes @param {(Node | string)[]} children
 * @returns {Kind}
 */
export function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = String(value);
    else if (name === "on") {
      for (const [event, listener] of Object.entries(/** @type {Record<string, EventListener>} */ (value))) {
        made.addEventListener(event, listener);
      }
    } else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * An element of a drawing.
 * @param {string} name @param {Record<string, unknown>} [attributes] as those of `element`.
 * @returns {SVGElement}
 */
export function drawn(name, attributes = {}) {
  const made = /** @type {SVGElement} */ (document.createElementNS("http://www.w3.org/2000/svg", name));
  return filled(made, attributes, []);
}
