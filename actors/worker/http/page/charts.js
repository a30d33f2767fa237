// Charts of the last hour, drawn as SVG.
import { element, minute, clock, number, seconds, setText } from "./parts.js";

const HOUR = 3600;
const HEIGHT = 130, LEFT = 46, RIGHT = 8, TOP = 10, BOTTOM = 22;
const SVG = "http://www.w3.org/2000/svg";

// Each series: its column in the history, and what the legend calls it. Rates are counts in a second.
const COMMON = [
  { title: "Messages a second", rate: true, unit: number, series: [["handled", "handled"]] },
  { title: "Failures a second", rate: true, unit: number,
    series: [["failed", "failed"], ["shed", "shed"]] },
  { title: "Messages waiting", unit: number, series: [["depth", "waiting"]] },
  { title: "Handling time", unit: seconds,
    series: [["took_p50", "half below"], ["took_p99", "99 % below"]] },
  { title: "Waiting time", unit: seconds,
    series: [["waited_p50", "half below"], ["waited_p99", "99 % below"], ["age", "oldest"]] },
];
export const OF_WORKER = [...COMMON, { title: "Interruptions", unit: number,
  series: [["gaps", "gaps"], ["reconnects", "reconnects"], ["restarts", "restarts"]] }];
export const OF_HANDLER = [...COMMON,
  { title: "Restarts", unit: number, series: [["restarts", "restarts"]] }];

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function valuesOf(history, column, rate) {
  const found = history.values[column] ?? [];
  if (!rate) return found;
  // The first sample has nothing before it.
  return found.map((value, place) => value === null || place === 0 ? null
    : value / Math.max(1, history.at[place] - history.at[place - 1]));
}

// The least round number that is not below `value`: 1, 2 or 5 with zeros.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

function pathOf(values, x, y) {
  let path = "", pen = false;
  values.forEach((value, place) => {
    if (value === null) { pen = false; return; }
    path += `${pen ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
    // A value alone between two gaps is a dot.
    if (!pen && (values[place + 1] ?? null) === null) path += "h0.01";
    pen = true;
  });
  return path;
}

function draw(figure, chart, history) {
  const shown = chart.series.map(([column, name]) => (
    { name, values: valuesOf(history, column, chart.rate) }));
  const width = Math.max(200, figure.clientWidth - 22);
  const end = history.at.at(-1) ?? Date.now() / 1000;
  const known = shown.flatMap((one) => one.values).filter((value) => value !== null);
  const top = roundUp(Math.max(0, ...known));
  const x = (place) => LEFT + (history.at[place] - end + HOUR) / HOUR * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const picture = svg("svg", { width, height: HEIGHT, role: "img" });
  for (const part of [0, 0.5, 1]) {
    const at = y(top * part);
    picture.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
      svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, chart.unit(top * part)));
  }
  for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const at = LEFT + part * (width - LEFT - RIGHT);
    picture.append(svg("text", { x: at, y: HEIGHT - 4, "text-anchor": anchor },
      minute(end - HOUR * (1 - part))));
  }
  shown.forEach((one, place) => picture.append(
    svg("path", { class: `series s${place}`, d: pathOf(one.values, x, y) })));
  const mark = svg("line", { class: "at", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  picture.append(mark);
  figure.querySelector("svg.chart, .no-chart").replaceWith(picture);
  picture.classList.add("chart");
  figure.told = { chart, history, shown, x, mark };
  tell(figure, history.at.length - 1);
  picture.setAttribute("aria-label", `${chart.title}, the last hour: ${shown.map((one) => {
    const values = one.values.filter((value) => value !== null);
    return values.length ? `${one.name} ${chart.unit(values.at(-1))},`
      + ` at most ${chart.unit(Math.max(...values))}` : `${one.name} none`;
  }).join("; ")}`);
}

// Writes the values of one sample into the legend.
function tell(figure, place) {
  const { chart, history, shown } = figure.told;
  shown.forEach((one, at) => {
    const value = one.values[place] ?? null;
    setText(figure.querySelectorAll(".legend span span")[at],
      ` ${one.name} ${value === null ? "none" : chart.unit(value)}`);
  });
  const isLast = place === history.at.length - 1;
  setText(figure.querySelector("time"), isLast || place < 0 ? "" : clock(history.at[place]));
}

function look(event) {
  const figure = event.currentTarget;
  if (!figure.told || !figure.told.history.at.length) return;
  const { history, x, mark } = figure.told;
  const at = event.clientX - figure.querySelector("svg.chart").getBoundingClientRect().left;
  let nearest = 0;
  history.at.forEach((_, place) => {
    if (Math.abs(x(place) - at) < Math.abs(x(nearest) - at)) nearest = place;
  });
  mark.setAttribute("x1", x(nearest));
  mark.setAttribute("x2", x(nearest));
  mark.setAttribute("visibility", "visible");
  tell(figure, nearest);
}

function leave(event) {
  const { told } = event.currentTarget;
  if (!told) return;
  told.mark.setAttribute("visibility", "hidden");
  tell(event.currentTarget, told.history.at.length - 1);
}

function make(chart) {
  const figure = element("figure");
  const caption = element("figcaption", `${chart.title} `);
  caption.append(element("time", "", "note"));
  const legend = element("div", undefined, "legend");
  chart.series.forEach((_, place) => {
    const entry = element("span");
    const swatch = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" });
    swatch.append(svg("path", { class: `series s${place}`, d: "M0 5H26" }));
    entry.append(swatch, element("span"));
    legend.append(entry);
  });
  figure.append(caption, element("div", undefined, "no-chart"), legend);
  figure.addEventListener("pointermove", look);
  figure.addEventListener("pointerleave", leave);
  return figure;
}

// Draws `charts` into `parent`; elsewhere than in a page that is seen there is no width to draw to.
export function drawCharts(parent, charts, history) {
  if (parent.children.length !== charts.length) parent.replaceChildren(...charts.map(make));
  charts.forEach((chart, place) => {
    setText(parent.children[place].querySelector("figcaption").firstChild, `${chart.title} `);
    draw(parent.children[place], chart, history);
  });
}
