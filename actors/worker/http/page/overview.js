// The first view: charts, handlers, failures, gaps, paths, recovery, the fleet.
import { byId, clock, number, seconds, setText, syncLog, syncRows } from "./parts.js";
import { OF_WORKER, drawCharts } from "./charts.js";
import { failuresOf, gapsOf } from "./state.js";

const MOST_ROWS = 200;
let sortBy = "depth";
let descending = true;
let shown = null;   // what the view shows: stats and handlers

function compare(one, other) {
  const a = one[sortBy], b = other[sortBy];
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return (descending ? -order : order) || one.name.localeCompare(other.name);
}

const flagged = (count) => [number(count), count ? "bad" : ""];

function showHandlers() {
  const wanted = byId("search").value.trim().toLowerCase();
  const found = shown.handlers.filter((handler) => handler.name.toLowerCase().includes(wanted));
  const rows = found.sort(compare).slice(0, MOST_ROWS).map((handler) => ({
    key: handler.key,
    href: handler.href,
    cells: [
      handler.name,
      handler.rate.toFixed(1),
      [number(handler.handled), "more"],
      flagged(handler.failed),
      number(handler.depth),
      [handler.depth ? seconds(handler.age) : "", "more"],
      [number(handler.shed), handler.shed ? "bad more" : "more"],
      [number(handler.restarts), handler.restarts ? "bad more" : "more"],
      [handler.state, handler.state === "running" ? "" : "bad"],
    ],
  }));
  syncRows(byId("handlers"), rows);
  const all = shown.handlers.length;
  setText(byId("found"), found.length > MOST_ROWS ? `the first ${MOST_ROWS} of ${found.length}`
    : wanted ? `${found.length} of ${all}` : "");
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const chosen = head.dataset.sort === sortBy;
    head.setAttribute("aria-sort", chosen ? (descending ? "descending" : "ascending") : "none");
  }
  const matches = (text) => text.toLowerCase().includes(wanted);
  syncLog(byId("failures"), failuresOf(shown.stats, (one) => matches(`${one.handler} ${one.channel}`)));
  syncLog(byId("gaps"), gapsOf(shown.stats, (one) => matches(one.name)));
}

function showPaths(stats) {
  const rows = stats.worker.snapshots.flatMap((one) => one.paths.map((path) => {
    const stale = path.proof_age === null || path.proof_age > one.probe_interval;
    const age = path.proof_age === null ? "never" : `${seconds(path.proof_age)} ago`;
    return {
      key: `${one.pid} ${path.pubsub} ${path.node}`,
      cells: [`${path.pubsub} from ${path.node}`, [age, stale ? "bad" : ""],
        flagged(path.restarts)],
    };
  }));
  syncRows(byId("paths"), rows);
}

function showRecoveries(stats) {
  const rows = stats.worker.snapshots.flatMap((one) => one.recoveries.map((of) => ({
    key: `${one.pid} ${of.pubsub}`,
    cells: [of.pubsub, number(of.channels),
      of.behind ? `${of.behind}, ${seconds(of.behind_seconds)}` : "0",
      number(of.held), number(of.recovered), number(of.resumed), flagged(of.lost),
      flagged(of.unknown)],
  })));
  syncRows(byId("recoveries"), rows);
  byId("recovery").hidden = rows.length === 0;
}

// The members of the fleet, as any process of this worker knows them.
function showFleet(stats) {
  const known = stats.worker.snapshots.map((one) => one.fleet).find((of) => of);
  const rows = (known ? known.members : []).map((of) => ({
    key: of.member,
    cells: [
      of.member === known.member ? `${of.member} (this one)` : of.member,
      of.owned === null ? "" : `${of.owned} of ${known.names}`,
      of.rate === null ? "" : of.rate.toFixed(1),
      of.waiting === null ? "" : number(of.waiting),
      of.at === null ? "not yet" : clock(of.at),
    ],
  }));
  syncRows(byId("members"), rows);
  byId("fleet").hidden = !known;
}

export function showOverview(stats, handlers) {
  shown = { stats, handlers };
  showHandlers();
  showPaths(stats);
  showRecoveries(stats);
  showFleet(stats);
}

export function showHistory(history) {
  drawCharts(byId("charts"), OF_WORKER, history);
  setText(byId("left-out"), `${history.left_out} handlers that were busy in the last hour have no`
    + " charts of their own: there are too many.");
  byId("left-out").hidden = history.left_out === 0;
}

byId("handlers").tHead.addEventListener("click", (event) => {
  const head = event.target.closest("th[data-sort]");
  if (!head || !shown) return;
  const asText = head.dataset.sort === "name" || head.dataset.sort === "state";
  descending = head.dataset.sort === sortBy ? !descending : !asText;
  sortBy = head.dataset.sort;
  showHandlers();
});
byId("search").addEventListener("input", () => { if (shown) showHandlers(); });
