// Small parts of the page: elements, texts, and lists that are kept up to date.

export const byId = (id) => document.getElementById(id);

// Sets text, never markup: names come from users and servers.
export function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function link(text, href) {
  const made = element("a", text);
  made.href = href;
  return made;
}

export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

const known = new WeakMap();  // by parent: its children by key

// Makes `parent` have one child for each of `items`. A child stays the same element as long as its
// key is there, so that focus, selection and open details survive an update.
export function sync(parent, items, keyOf, make, update) {
  const before = known.get(parent) ?? new Map();
  const after = new Map();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  items.forEach((item, place) => {
    const key = keyOf(item);
    const child = before.get(key) ?? make(item);
    update(child, item);
    after.set(key, child);
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  known.set(parent, after);
  if (focused && focused !== document.activeElement && parent.contains(focused)) focused.focus();
}

// Makes the rows of a table from lists of cells: a text, or [text, className]. The roles are said,
// because narrow windows lay out some tables as grids.
export function syncRows(table, rows) {
  sync(table.tBodies[0], rows, (row) => row.key, makeRow, (line, row) => {
    row.cells.forEach((cell, place) => {
      const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
      const shown = line.children[place] ?? line.appendChild(element("td"));
      shown.setAttribute("role", "cell");
      shown.className = className;
      if (row.href && place === 0) {
        if (!shown.firstElementChild) shown.append(link(text, row.href));
        shown.firstElementChild.href = row.href;
        setText(shown.firstElementChild, text);
      } else {
        setText(shown, text);
      }
    });
  });
}

function makeRow() {
  const row = element("tr");
  row.setAttribute("role", "row");
  return row;
}

// Makes an entry of a log: a time and a text; with a traceback it can be opened.
export function syncLog(list, entries) {
  const key = (entry) => `${entry.key} ${Boolean(entry.traceback)}`;
  sync(list, entries, key, (entry) => {
    const item = element("li");
    const line = entry.traceback ? element("summary") : item;
    line.append(element("time"), " ", element("span"));
    if (entry.traceback) {
      const details = element("details");
      details.append(line, element("pre"));
      item.append(details);
    }
    return item;
  }, (item, entry) => {
    setText(item.querySelector("time"), clock(entry.at));
    setText(item.querySelector("span"), entry.text);
    if (entry.traceback) setText(item.querySelector("pre"), entry.traceback);
  });
}

export function seconds(value) {
  if (value === null || value === undefined) return "never";
  if (value >= 100) return `${Math.round(value)} s`;
  if (value >= 1) return `${value.toFixed(1)} s`;
  if (value >= 0.001) return `${Number((value * 1000).toPrecision(2))} ms`;
  return value > 0 ? `${Number((value * 1e6).toPrecision(2))} µs` : "0 s";
}

export function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2)));
}

export function clock(unix) {
  return new Date(unix * 1000).toLocaleTimeString("en-GB");
}

export function minute(unix) {
  return clock(unix).slice(0, 5);
}
