// Shows /openapi.json: no library, nothing from elsewhere. Text is set as text, never as markup.

/** @typedef {Record<string, any>} Schema */

/** An element with children. @param {string} name @param {(Node|string)[]} children @param {string} [className] */
function element(name, children, className) {
  const made = document.createElement(name);
  made.append(...children);
  if (className) made.className = className;
  return made;
}

/** The schema that a reference leads to. @param {Schema} schema @param {Schema} all @returns {Schema} */
function resolved(schema, all) {
  const name = schema.$ref?.split("/").pop();
  return name ? all[name] ?? {} : schema;
}

/** A type in a few words. @param {Schema} schema @returns {string} */
function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ one) => JSON.stringify(one)).join(" or ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`≥ ${schema.minimum}`);
  if (schema.exclusiveMinimum !== undefined) bounds.push(`> ${schema.exclusiveMinimum}`);
  if (schema.maximum !== undefined) bounds.push(`≤ ${schema.maximum}`);
  return [schema.type ?? "anything", ...bounds].join(" ");
}

/** A schema's fields as a table. @param {Schema} schema @param {Schema} all */
function fields(schema, all) {
  const known = resolved(schema, all);
  const rows = Object.entries(known.properties ?? {}).map(([name, field]) => element("tr", [
    element("th", [element("code", [name])]),
    element("td", [typeOf(field)]),
    element("td", [field.default === undefined ? "" : element("code", [JSON.stringify(field.default)])]),
    element("td", [field.description ?? ""]),
  ]));
  for (const row of rows) row.firstElementChild?.setAttribute("scope", "row");
  if (!rows.length) return element("p", [typeOf(schema)]);
  const head = element("tr", ["field", "type", "default", ""].map((title) => element("th", [title])));
  return element("div", [element("table", [element("thead", [head]), element("tbody", rows)])], "scroll");
}

/** One address and method. @param {string} path @param {string} method @param {Schema} operation @param {Schema} all */
function section(path, method, operation, all) {
  const parts = [
    element("h2", [element("span", [method.toUpperCase()], "method"), element("code", [path])]),
    element("p", [operation.description || operation.summary || ""]),
  ];
  for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
    parts.push(element("h3", ["Send ", element("code", [type])]), fields(content.schema ?? {}, all));
  }
  for (const [type, content] of Object.entries(operation.responses?.["200"]?.content ?? {})) {
    parts.push(element("h3", ["Get ", element("code", [type])]), fields(content.schema ?? {}, all));
  }
  return element("section", parts);
}

const about = /** @type {HTMLElement} */ (document.getElementById("about"));
try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const description = await answer.json();
  const all = description.components?.schemas ?? {};
  about.textContent = `${description.info.description} Version ${description.info.version}.`;
  const sections = Object.entries(description.paths).flatMap(([path, operations]) =>
    Object.entries(/** @type {Schema} */ (operations)).map(([method, one]) => section(path, method, one, all)));
  document.getElementById("operations")?.append(...sections);
} catch (error) {
  about.textContent = `The interface could not be read: ${error instanceof Error ? error.message : error}`;
}
