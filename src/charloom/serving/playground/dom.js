/** Making elements, without markup in strings: text stays text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} name of the element.
 * @param {Record<string, unknown>} [attributes] `class`, `text` (its content), `on` (listeners by event name),
 *   and any attribute; false and null leave one out, true gives it without a value.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  return /** @type {HTMLElement} */ (filled(document.createElement(name), attributes, children));
}

/** The same for a drawing.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
export function drawn(name, attributes = {}, ...children) {
  return /** @type {SVGElement} */ (filled(document.createElementNS(SVG, name), attributes, children));
}

/** The element of the page with this id.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Put these into a place instead of what is there.
 * @param {Element} place
 * @param {...(Node | string)} children
 */
export function fill(place, ...children) {
  place.replaceChildren(...children);
}

/**
 * @param {Element} made
 * @param {Record<string, unknown>} attributes
 * @param {(Node | string)[]} children
 */
function filled(made, attributes, children) {
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
