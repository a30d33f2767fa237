// The view of one actor: what it is doing, its last hour, its failures, what is below it.
import { byId, element, number, seconds, setText, sync, syncLog } from "./parts.js";
import { OF_HANDLER, drawCharts } from "./charts.js";
import { failuresOf, gapsOf } from "./state.js";
import { findNode, showTree } from "./tree.js";

function factsOfHandler(handler) {
  const failures = handler.failures;
  return [
    ["state", handler.state],
    ["waiting", handler.depth ? `${number(handler.depth)}, the oldest for ${seconds(handler.age)}`
      : "nothing"],
    ["per second", handler.rate.toFixed(1)],
    ["handled", number(handler.handled)],
    ["failed", number(handler.failed)],
    ["shed", number(handler.shed)],
    ["restarts", number(handler.restarts)],
    ["last exit", handler.last_exit ?? "none"],
    ...(failures ? [["first error", failures.first_error], ["last error", failures.last_error]] : []),
  ];
}

function factsOfNode(node) {
  return [["state", node.status], ["kind", node.kind], ["restarts", number(node.restarts)],
    ["last exit", node.last_exit ?? "none"],
    ...Object.entries(node.detail).map(([name, value]) => [name, String(value)])];
}

function recoveryFacts(stats, handler) {
  const found = stats.worker.snapshots.filter((one) => one.process === handler.process)
    .flatMap((one) => one.recoveries).find((of) => of.pubsub === handler.pubsub);
  if (!found) return [];
  return [["recovery", `${found.recovered} recovered, ${found.lost} lost, ${found.behind} channels`
    + ` behind (all channels of ${found.pubsub})`]];
}

function showFacts(facts) {
  sync(byId("actor-facts"), facts.flatMap(([name, value]) => [
    { key: `dt ${name}`, tag: "dt", text: name }, { key: `dd ${name}`, tag: "dd", text: value },
  ]), (one) => one.key, (one) => element(one.tag), (node, one) => setText(node, one.text));
}

// Returns the handler, null for another actor or none.
export function showActor(stats, handlers, process, path) {
  const handler = handlers.find((one) => one.process === process && one.path === path) ?? null;
  const node = findNode(stats.worker.tree, process, path);
  setText(byId("actor-title"), handler ? handler.name : node ? node.id : path);
  byId("actor-more").hidden = handler === null;
  if (handler) {
    showFacts([...factsOfHandler(handler), ["path", path], ...recoveryFacts(stats, handler)]);
    syncLog(byId("actor-failures"),
      failuresOf(stats, (one) => one.process === process && one.path === path));
    syncLog(byId("actor-gaps"),
      gapsOf(stats, (one) => one.process === process && one.path === path));
  } else {
    showFacts(node ? [...factsOfNode(node), ["path", path]] : [["state", "gone"], ["path", path]]);
  }
  byId("actor-below").hidden = !node || node.children.length === 0;
  showTree(byId("actor-tree"), node ? node.children : [], process);
  return handler;
}

export function showActorHistory(history) {
  byId("actor-history").hidden = history.at.length === 0;
  if (history.at.length) drawCharts(byId("actor-charts"), OF_HANDLER, history);
}
