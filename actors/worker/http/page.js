// Fetches /stats once a second and shows it. There is no build step and no other source.
"use strict";

const EVERY = 1000;
const MOST_ROWS = 200;
let sortBy = "depth";
let descending = true;
let before = null;   // counts and times of the previous answer, by handler
let latest = null;

const byId = (id) => document.getElementById(id);

// Sets text, never markup: names come from users and servers.
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function seconds(value) {
  if (value === null || value === undefined) return "never";
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

function clock(unix) {
  return new Date(unix * 1000).toLocaleTimeString();
}

function handlersOf(stats) {
  const several = stats.worker.snapshots.length > 1;
  const found = [];
  for (const one of stats.worker.snapshots) {
    for (const handler of one.handlers) {
      const name = several ? `${one.process}: ${handler.name}` : handler.name;
      found.push({ ...handler, name, key: `${one.pid} ${handler.path}`, at: one.at });
    }
  }
  return found;
}

function withRates(handlers) {
  const now = new Map();
  for (const handler of handlers) {
    const last = before && before.get(handler.key);
    const passed = last ? handler.at - last.at : 0;
    // A process sends a snapshot about once a second: if this is the same one, keep the rate.
    handler.rate = passed > 0 ? Math.max(0, handler.handled - last.handled) / passed
      : last ? last.rate : 0;
    now.set(handler.key, { handled: handler.handled, at: handler.at, rate: handler.rate });
  }
  before = now;
  return handlers;
}

function compare(one, other) {
  const a = one[sortBy], b = other[sortBy];
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return (descending ? -order : order) || one.name.localeCompare(other.name);
}

function showHandlers() {
  const rows = [...latest].sort(compare).slice(0, MOST_ROWS).map((handler) => {
    const row = element("tr");
    row.append(
      element("td", handler.name),
      element("td", handler.rate.toFixed(1)),
      element("td", handler.handled),
      element("td", handler.failed, handler.failed ? "bad" : ""),
      element("td", handler.depth),
      element("td", handler.depth ? seconds(handler.age) : ""),
      element("td", handler.shed, handler.shed ? "bad" : ""),
      element("td", handler.restarts, handler.restarts ? "bad" : ""),
      element("td", handler.breaker === "closed" ? "" : handler.breaker, "bad"),
    );
    return row;
  });
  byId("handlers").tBodies[0].replaceChildren(...rows);
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const chosen = head.dataset.sort === sortBy;
    head.setAttribute("aria-sort", chosen ? (descending ? "descending" : "ascending") : "none");
  }
}

function showPaths(stats) {
  const rows = stats.worker.snapshots.flatMap((one) => one.paths.map((path) => {
    const row = element("tr");
    const stale = path.proof_age === null || path.proof_age > one.probe_interval;
    row.append(
      element("td", `${path.pubsub} from ${path.node}`),
      element("td", path.proof_age === null ? "never" : `${seconds(path.proof_age)} ago`,
        stale ? "bad" : ""),
      element("td", path.restarts, path.restarts ? "bad" : ""),
    );
    return row;
  }));
  byId("paths").tBodies[0].replaceChildren(...rows);
}

function showRecoveries(stats) {
  const rows = stats.worker.snapshots.flatMap((one) => one.recoveries.map((of) => {
    const row = element("tr");
    row.append(
      element("td", of.pubsub),
      element("td", of.channels),
      element("td", of.behind ? `${of.behind}, ${seconds(of.behind_seconds)}` : "0"),
      element("td", of.held),
      element("td", of.recovered),
      element("td", of.resumed),
      element("td", of.lost, of.lost ? "bad" : ""),
      element("td", of.unknown, of.unknown ? "bad" : ""),
    );
    return row;
  }));
  byId("recoveries").tBodies[0].replaceChildren(...rows);
  byId("recovery").hidden = rows.length === 0;
}

// The members of the fleet, as any process of this worker knows them.
function showFleet(stats) {
  const known = stats.worker.snapshots.map((one) => one.fleet).find((of) => of);
  const rows = (known ? known.members : []).map((of) => {
    const row = element("tr");
    row.append(
      element("td", of.member === known.member ? `${of.member} (this one)` : of.member),
      element("td", of.owned === null ? "" : `${of.owned} of ${known.names}`),
      element("td", of.rate === null ? "" : of.rate.toFixed(1)),
      element("td", of.waiting === null ? "" : of.waiting),
      element("td", of.at === null ? "not yet" : clock(of.at)),
    );
    return row;
  });
  byId("members").tBodies[0].replaceChildren(...rows);
  byId("fleet").hidden = !known;
}

function showLogs(stats) {
  const all = (name) => stats.worker.snapshots.flatMap((one) => one[name]);
  const gaps = all("recent_gaps").sort((a, b) => b.until - a.until).slice(0, 20);
  byId("gaps").replaceChildren(...gaps.map((gap) => element("li",
    `${clock(gap.until)} ${gap.kind} ${gap.name}: ${(gap.until - gap.since).toFixed(2)} s,`
    + ` ${gap.reason}`)));
  const failures = all("recent_failures").sort((a, b) => b.at - a.at).slice(0, 20);
  byId("failures").replaceChildren(...failures.map((failure) => element("li",
    `${clock(failure.at)} ${failure.handler} on ${failure.channel}: ${failure.error}`
    + (failure.count > 1 ? ` (${failure.count} times since ${clock(failure.first_at)},`
      + ` first ${failure.first_error})` : ""))));
}

function branch(node) {
  const item = element("li");
  const detail = Object.entries(node.detail).map(([key, value]) => `${key}=${value}`).join(" ");
  const state = node.status === "running" ? "" : ` ${node.status}`;
  const restarts = node.restarts ? ` restarts=${node.restarts}` : "";
  item.append(element("b", node.id), element("span", `${state}${restarts} ${detail}`, "detail"));
  if (node.children.length) {
    const list = element("ul");
    list.append(...node.children.slice(0, MOST_ROWS).map(branch));
    const more = node.children.length - MOST_ROWS;
    if (more > 0) list.append(element("li", `and ${more} more`));
    item.append(list);
  }
  return item;
}

function show(stats) {
  const ready = byId("ready");
  const degraded = stats.ready.degraded;
  ready.textContent = !stats.live.ok ? "not live" : !stats.ready.ok ? "not ready"
    : degraded.length ? "degraded" : "ready";
  ready.className = `badge ${ready.textContent === "ready" ? "good" : "bad"}`;
  // What makes a degraded worker unready is in both lists.
  const reasons = [...new Set([...stats.live.reasons, ...stats.ready.reasons, ...degraded,
    ...stats.ready.warnings])];
  byId("reasons").textContent = reasons.join("; ");
  byId("reasons").hidden = reasons.length === 0;
  byId("name").textContent = document.title = stats.worker.name;
  latest = withRates(handlersOf(stats));
  const sum = (name) => stats.worker.snapshots.reduce((total, one) => total + one[name], 0);
  const rate = latest.reduce((total, handler) => total + handler.rate, 0);
  byId("totals").textContent = `${rate.toFixed(0)} messages a second, ${sum("failed")} failed,`
    + ` ${sum("gaps")} gaps, ${sum("restarts")} restarts, ${sum("reconnects")} reconnects`;
  showHandlers();
  showPaths(stats);
  showRecoveries(stats);
  showFleet(stats);
  showLogs(stats);
  const list = element("ul");
  list.append(branch(stats.worker.tree));
  byId("tree").replaceChildren(list);
}

async function look() {
  try {
    const response = await fetch("stats", { cache: "no-store" });
    show(await response.json());
  } catch (error) {
    byId("ready").textContent = "no answer";
    byId("ready").className = "badge bad";
  }
  setTimeout(look, EVERY);
}

function choose(event) {
  if (event.type === "keydown" && event.key !== "Enter") return;
  const head = event.target.closest("th[data-sort]");
  if (!head || !latest) return;
  descending = head.dataset.sort === sortBy ? !descending : head.dataset.sort !== "name";
  sortBy = head.dataset.sort;
  showHandlers();
}

document.querySelector("thead").addEventListener("click", choose);
document.querySelector("thead").addEventListener("keydown", choose);
look();
