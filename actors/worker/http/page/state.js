// What the page knows of the worker: the latest answer of /stats, with rates.
import { clock } from "./parts.js";

let before = new Map();   // counts and times of the previous answer, by handler

export function actorHref(process, path) {
  return `#/actor/${process}/${encodeURIComponent(path)}`;
}

function stateOf(handler) {
  if (handler.paused) return "paused";
  if (handler.breaker !== "closed") return `breaker ${handler.breaker.replace("_", "-")}`;
  return handler.status;
}

// The handlers of all processes, with the messages that each handles in a second.
export function handlersOf(stats) {
  const several = stats.worker.snapshots.length > 1;
  const found = [];
  const now = new Map();
  for (const one of stats.worker.snapshots) {
    for (const handler of one.handlers) {
      const key = `${one.pid} ${handler.path}`;
      const last = before.get(key);
      const passed = last ? one.at - last.at : 0;
      // A process sends a snapshot about once a second: if this is the same one, keep the rate.
      const rate = passed > 0 ? Math.max(0, handler.handled - last.handled) / passed
        : last ? last.rate : 0;
      now.set(key, { handled: handler.handled, at: one.at, rate });
      found.push({ ...handler, key, rate, process: one.process, state: stateOf(handler),
        href: actorHref(one.process, handler.path),
        name: several ? `${one.process}: ${handler.name}` : handler.name });
    }
  }
  before = now;
  return found;
}

function first(failure) {
  return failure.first_error === failure.error ? "" : `, the first: ${failure.first_error}`;
}

export function failuresOf(stats, wanted = () => true) {
  return stats.worker.snapshots
    .flatMap((one) => one.recent_failures.map((failure) => ({ ...failure, process: one.process })))
    .filter(wanted).sort((a, b) => b.at - a.at).slice(0, 20)
    .map((failure) => ({
      at: failure.at,
      key: `${failure.process} ${failure.path} ${failure.place} ${failure.first_at}`,
      text: `${failure.handler} on ${failure.channel}: ${failure.error}`
        + (failure.count > 1 ? ` (${failure.count} times since ${clock(failure.first_at)}${first(failure)})` : "")
        + (failure.place ? ` at ${failure.place}` : ""),
      traceback: failure.traceback,
    }));
}

export function gapsOf(stats, wanted = () => true) {
  return stats.worker.snapshots
    .flatMap((one) => one.recent_gaps.map((gap) => ({ ...gap, process: one.process, pid: one.pid })))
    .filter(wanted).sort((a, b) => b.until - a.until).slice(0, 20)
    .map((gap) => ({
      at: gap.until,
      key: `${gap.pid} ${gap.kind} ${gap.name} ${gap.since} ${gap.until}`,
      text: `${gap.kind} ${gap.name}: ${(gap.until - gap.since).toFixed(2)} s, ${gap.reason}`,
    }));
}
