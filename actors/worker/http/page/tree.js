// The supervision tree as nested lists, each actor with a link.
import { element, link, setText, sync } from "./parts.js";
import { actorHref } from "./state.js";

const MOST_CHILDREN = 200;
// What the view of an actor shows, and a line of the tree has no room for.
const LONG = new Set(["first_error", "first_at", "last_error", "last_at"]);

function described(node) {
  const detail = Object.entries(node.detail).filter(([key]) => !LONG.has(key)).map(([key, value]) => `${key}=${value}`).join(" ");
  const state = node.status === "running" ? "" : ` ${node.status}`;
  const restarts = node.restarts ? ` restarts=${node.restarts}` : "";
  return `${state}${restarts} ${detail}`;
}

function processOf(node, around) {
  return node.kind === "process" ? Number(node.id.replace("process-", "")) : around;
}

function make(node) {
  const item = element("li");
  item.append(link("", "#/"), element("span", "", "detail"), element("ul"));
  return item;
}

function update(item, node, process) {
  const [name, detail, list] = item.children;
  const inside = processOf(node, process);
  name.href = actorHref(inside, node.path);
  setText(name, node.id);
  setText(detail, described(node));
  list.hidden = node.children.length === 0;
  showNodes(list, node.children, inside);
}

function showNodes(list, nodes, process) {
  const some = nodes.slice(0, MOST_CHILDREN);
  const more = nodes.length - some.length;
  const items = more > 0 ? [...some, { more }] : some;
  sync(list, items, (node) => node.path ?? "more",
    (node) => node.more ? element("li") : make(node),
    (item, node) => {
      if (node.more) setText(item, `and ${node.more} more`);
      else update(item, node, process);
    });
}

export function showTree(parent, nodes, process = 0) {
  if (!parent.firstElementChild) parent.append(element("ul"));
  showNodes(parent.firstElementChild, nodes, process);
}

// The node at `path` in a process of the tree, or undefined.
export function findNode(node, wanted, path, process = 0) {
  const inside = processOf(node, process);
  if (node.path === path && inside === wanted) return node;
  for (const child of node.children) {
    const found = findNode(child, wanted, path, inside);
    if (found) return found;
  }
  return undefined;
}
