// The AsyncAPI document of the worker as tables: channels, operations, schemas.
import { byId, element, link, setText } from "./parts.js";

function withRole(node, role) {
  node.setAttribute("role", role);
  return node;
}

function table(label, heads, rows) {
  const around = element("div", undefined, "wide");
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", label);
  around.tabIndex = 0;
  // Roles: where the window is narrow, rows and cells are blocks, and browsers forget what they are.
  const made = withRole(element("table", undefined, "text"), "table");
  const head = withRole(withRole(made.createTHead(), "rowgroup").insertRow(), "row");
  for (const text of heads) {
    const cell = withRole(element("th", text), "columnheader");
    cell.scope = "col";
    head.append(cell);
  }
  const body = withRole(made.createTBody(), "rowgroup");
  for (const cells of rows) {
    const row = withRole(body.insertRow(), "row");
    cells.forEach((cell, place) => {
      const shown = withRole(row.insertCell(), "cell");
      shown.dataset.column = heads[place];
      shown.append(...(Array.isArray(cell) ? cell : [cell]).filter((part) => part !== ""));
    });
  }
  around.append(made);
  return [element("h3", label), around];
}

const last = (reference) => decodeURIComponent(reference.split("/").at(-1));

function anchor(name) {
  const made = link(name, "#/messages");
  made.addEventListener("click", (event) => {
    event.preventDefault();
    const target = document.getElementById(`schema ${name}`);
    if (target) { target.scrollIntoView(); target.focus(); }
  });
  return made;
}

// A schema in few words, with links to the schemas that it names.
function typeOf(schema) {
  if (schema === undefined || schema === true) return ["anything"];
  if (schema.$ref) return [anchor(last(schema.$ref))];
  for (const many of [schema.anyOf, schema.oneOf]) {
    if (many) return many.flatMap((one, place) => place ? [" or ", ...typeOf(one)] : typeOf(one));
  }
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" or ")];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items)];
  return [schema.format ? `${schema.type} (${schema.format})` : String(schema.type ?? "anything")];
}

function parametersOf(channel) {
  return Object.entries(channel.parameters ?? {}).map(([name, one]) => {
    const values = one.enum ?? [];
    const few = values.slice(0, 5).join(", ") + (values.length > 5 ? `, … (${values.length})` : "");
    return `{${name}}: ${few || one.description}`;
  }).join("; ");
}

function channels(made) {
  const rows = Object.values(made.channels).map((channel) => {
    const messages = Object.keys(channel.messages).map((name) => made.components.messages[name]);
    return [channel.address, channel["x-mailslot-kind"].replace("_", " "),
      messages.flatMap((one) => one.payload ? typeOf(one.payload) : ["as it came"]),
      parametersOf(channel)];
  });
  return table("Channels", ["address", "kind", "payload", "parameters"], rows);
}

function operations(made) {
  const rows = Object.values(made.operations).map((one) => [
    one.action, made.channels[last(one.channel.$ref)].address, one.title, one.description ?? ""]);
  return table("Operations", ["action", "channel", "handler", "description"], rows);
}

function schemas(made) {
  return Object.entries(made.components.schemas).flatMap(([name, schema]) => {
    const required = new Set(schema.required ?? []);
    const rows = Object.entries(schema.properties ?? {}).map(([field, one]) => [
      field, typeOf(one), required.has(field) ? "yes" : "no",
      one.description ?? ("default" in one ? `default ${JSON.stringify(one.default)}` : "")]);
    const [head, around] = table(name, ["field", "type", "required", "notes"], rows);
    head.id = `schema ${name}`;
    head.tabIndex = -1;
    const about = element("p", schema.description ?? "", "note");
    return [head, about, rows.length ? around : element("p", "")].map((part, place) => {
      if (place === 2 && !rows.length) part.append(...typeOf(schema));
      return part;
    });
  });
}

let asked = false;

export async function showMessages() {
  if (asked) return;
  asked = true;
  try {
    const response = await fetch("asyncapi.json", { cache: "no-store" });
    if (!response.ok) throw new Error((await response.text()).trim());
    const made = await response.json();
    const where = Object.values(made.servers)
      .map((one) => `${one.protocol}://${one.host}${one.pathname ?? ""}`).join(", ");
    setText(byId("messages-about"), `${made.info.title}, ${made.info.version}, at ${where}. `);
    byId("messages-about").append(link("The AsyncAPI document as JSON", "asyncapi.json"));
    byId("messages-parts").replaceChildren(...channels(made), ...operations(made), ...schemas(made));
  } catch (error) {
    asked = false;
    setText(byId("messages-about"), error.message);
  }
}
