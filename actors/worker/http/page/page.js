// Asks /stats once a second and /history every ten, and shows the view that the address names:
// #/, #/tree, #/messages, #/actor/PROCESS/PATH. There is no build step and no other source.
import { byId, element, number, setText, sync } from "./parts.js";
import { showOverview, showHistory } from "./overview.js";
import { showActor, showActorHistory } from "./actor.js";
import { showActions } from "./actions.js";
import { showMessages } from "./messages.js";
import { showTree } from "./tree.js";
import { handlersOf } from "./state.js";

const EVERY = 1000;
const HISTORY_EVERY = 10000;
const SECTIONS = { overview: "overview", tree: "tree-view", actor: "actor", messages: "messages" };
let latest = null;        // the latest answer of /stats
let handlers = [];
let view = viewOf(location.hash);
let historyDue = 0;

function viewOf(hash) {
  const [, name, process, path] = hash.split("/");
  if (name === "actor" && path !== undefined) {
    return { name, process: Number(process), path: decodeURIComponent(path) };
  }
  return { name: name === "tree" || name === "messages" ? name : "overview" };
}

function showHead(stats) {
  const ready = byId("ready");
  const degraded = stats.ready.degraded;
  const word = !stats.live.ok ? "not live" : !stats.ready.ok ? "not ready"
    : degraded.length ? "degraded" : "ready";
  setText(ready, word);
  ready.className = `badge ${word === "ready" ? "good" : word === "degraded" ? "warn" : "bad"}`;
  // What makes a degraded worker unready is in both lists.
  const reasons = [...new Set([...stats.live.reasons, ...stats.ready.reasons, ...degraded,
    ...stats.ready.warnings])];
  sync(byId("reasons"), reasons, (text) => text, (text) => element("li", text), () => {});
  byId("reasons").hidden = reasons.length === 0;
  setText(byId("name"), stats.worker.name);
  const sum = (name) => stats.worker.snapshots.reduce((total, one) => total + one[name], 0);
  const many = (name) => `${sum(name)} ${sum(name) === 1 ? name.slice(0, -1) : name}`;
  const rate = handlers.reduce((total, handler) => total + handler.rate, 0);
  setText(byId("totals"), `${number(Math.round(rate))} messages a second, ${sum("failed")} failed,`
    + ` ${many("gaps")}, ${many("restarts")}, ${many("reconnects")}`);
}

function showView() {
  for (const [name, id] of Object.entries(SECTIONS)) byId(id).hidden = name !== view.name;
  for (const one of document.querySelectorAll("nav a")) {
    if (one.dataset.view === view.name) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  if (!latest) return;
  let handler = null;
  if (view.name === "overview") showOverview(latest, handlers);
  if (view.name === "tree") showTree(byId("tree"), [latest.worker.tree]);
  if (view.name === "actor") handler = showActor(latest, handlers, view.process, view.path);
  if (view.name === "messages") showMessages();
  showActions(latest.actions, handler);
  document.title = view.name === "actor" ? `${byId("actor-title").textContent} - ${latest.worker.name}`
    : latest.worker.name;
}

async function answerOf(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function lookAtHistory() {
  historyDue = Date.now() + HISTORY_EVERY;
  const asked = view;
  if (view.name === "overview") {
    const history = await answerOf("history");
    if (view === asked) showHistory(history);
  } else if (view.name === "actor") {
    const query = new URLSearchParams({ process: view.process, path: view.path });
    const history = await answerOf(`history?${query}`);
    if (view === asked) showActorHistory(history);
  }
}

async function look() {
  // A page that nobody sees asks nothing.
  if (document.visibilityState === "hidden") return;
  try {
    latest = await answerOf("stats");
    handlers = handlersOf(latest);
    showHead(latest);
    showView();
    if (Date.now() >= historyDue) await lookAtHistory();
  } catch (error) {
    setText(byId("ready"), "no answer");
    byId("ready").className = "badge bad";
  }
}

async function keepLooking() {
  await look();
  setTimeout(keepLooking, EVERY);
}

function go() {
  view = viewOf(location.hash);
  historyDue = 0;
  byId("actor-history").hidden = true;
  setText(byId("said"), "");
  showView();
  look();
  document.querySelector(`#${SECTIONS[view.name]} h2`).focus();
  scrollTo(0, 0);
}

// The address names the view: the link that skips the header must not change it.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", go);
addEventListener("resize", () => { historyDue = 0; });
document.addEventListener("visibilitychange", look);
showView();
keepLooking();
