"use strict";
// One cursor for the texts, the charts and the table. All text is set as text, never as markup.

const recordings = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 176, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 18, MARK = 7;
const PLAY_EVERY = 125;

// It opens where the texts part, or else at the highest KL.
const state = { recording: 0, step: recordings[0].split || recordings[0].worst || 1, log: true, playing: 0 };
const charts = new Map();

const $ = (id) => document.getElementById(id);
const current = () => recordings[state.recording];
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function element(name, content = "", classes = "") {
  const made = document.createElement(name);
  made.textContent = content;
  if (classes) made.className = classes;
  return made;
}

function drawn(name, attributes, content = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
}

// Where the person is.

function choose(place) {
  state.recording = clamp(place, 0, recordings.length - 1);
  for (const article of document.querySelectorAll("[data-recording]")) {
    article.hidden = Number(article.dataset.recording) !== state.recording;
  }
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.setAttribute("aria-current", String(Number(button.dataset.choose) === state.recording));
  }
  build();
  go(state.step);
}

function go(step) {
  const recording = current();
  state.step = clamp(Math.round(step) || 1, 1, recording.steps);
  const row = recording.rows[state.step - 1];
  $("place").textContent = `step ${state.step} of ${recording.steps}`;
  const [dense, pruned] = row.choices;
  $("chosen").textContent = dense === pruned ? `both choose ${dense}` : `dense ${dense}  pruned ${pruned}`;
  $("figures").textContent = row.readout.map(([name, value]) => `${name} ${value}`).join(" · ");
  $("reading").textContent = row.reading;
  mark();
  for (const chart of charts.values()) point(chart);
  table(row);
  const hash = recordings.length > 1 ? `#${state.recording + 1}.${state.step}` : `#${state.step}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

function mark() {
  for (const token of document.querySelectorAll(".here")) token.classList.remove("here");
  const article = document.querySelector(`[data-recording="${state.recording}"]`);
  for (const token of article.querySelectorAll(`[data-step="${state.step}"]`)) {
    token.classList.add("here");
    const box = token.closest("p");
    const above = token.offsetTop - box.offsetTop;
    if (above < box.scrollTop || above + token.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = above - box.clientHeight / 2;
    }
  }
}

function play(on) {
  clearInterval(state.playing);
  state.playing = 0;
  if (on) {
    if (state.step >= current().steps) go(1);
    state.playing = setInterval(() => {
      if (state.step >= current().steps) play(false);
      else go(state.step + 1);
    }, PLAY_EVERY);
  }
  document.querySelector('[data-go="play"]').setAttribute("aria-pressed", String(on));
}

const ways = {
  back: (event) => go(state.step - (event.shiftKey ? 10 : 1)),
  on: (event) => go(state.step + (event.shiftKey ? 10 : 1)),
  split: () => current().split && go(current().split),
  worst: () => current().worst && go(current().worst),
  play: () => play(!state.playing),
  log: () => {
    state.log = !state.log;
    document.querySelector('[data-go="log"]').setAttribute("aria-pressed", String(state.log));
    build();
    go(state.step);
  },
};
const keys = { ArrowLeft: "back", ArrowRight: "on", g: "split", G: "worst", " ": "play", l: "log" };

// Charts.

function build() {
  $("charts").replaceChildren();
  charts.clear();
  current().charts.forEach((chart) => {
    const box = element("section", "", "chart");
    box.id = `chart-${chart.id}`;
    const head = document.createElement("header");
    const value = element("span");
    head.append(element("b", [chart.title, chart.unit && `[${chart.unit}]`, chart.better].filter(Boolean).join(" ")), value);
    const svg = drawn("svg", { tabindex: "0", role: "img", "aria-label": `${chart.title} over steps` });
    box.append(head, svg, names(chart));
    $("charts").append(box);
    const others = recordings.flatMap((recording, index) =>
      index === state.recording ? [] : same(recording, chart).map((one) => ({ ...one.lines[0], look: look(index) })));
    const made = { chart, others, svg, value };
    charts.set(chart.id, made);
    plot(made);
    const follow = (event) => event.buttons && go(stepAt(made, event.clientX));
    svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); follow(event); });
    svg.addEventListener("pointermove", follow);
  });
  who();
}

// The same chart of another recording, which may watch other tokens.
function same(recording, chart) {
  return recording.charts.filter((one) => one.id === chart.id && one.title === chart.title);
}

// How the lines of a recording look. Alone it has the two models' colours; among several each has a colour of its own,
// its lines are solid, dashed and dotted while it is shown, and thin with dashes of its own while another one is.
const COLOURS = 6, DASHES = 7;
function look(index, style) {
  if (recordings.length === 1) return style;
  return style ? `${style} c${index % COLOURS}` : `other c${index % COLOURS} d${index % DASHES}`;
}

// Names the recordings, and the mark at a line's end where there is one.
function who() {
  const entries = [];
  if (recordings.length > 1) {
    entries.push(named(look(state.recording, "solid"), `${current().label} (shown)`));
    recordings.forEach((recording, index) => {
      const shared = recording.charts[0].lines[0].label;
      if (index !== state.recording) entries.push(named(look(index), shared ? `${recording.label}, ${shared}` : recording.label));
    });
  }
  if (document.querySelector("#charts .endmark")) entries.push(element("span", "■ the last step with such a figure"));
  $("who").replaceChildren(...entries);
}

function named(classes, label) {
  const sample = drawn("svg", { "aria-hidden": "true" });
  sample.append(drawn("path", { class: classes, d: "M1 4H35" }));
  const name = element("span");
  name.append(sample, label);
  return name;
}

function names(chart) {
  const box = element("div", "", "names");
  for (const line of chart.lines) if (line.label) box.append(named(look(state.recording, line.style), line.label));
  return box;
}

function plot(made) {
  const { chart, others, svg } = made;
  const width = Math.max(160, svg.clientWidth);
  const lines = [...others, ...chart.lines.map((line) => ({ ...line, look: look(state.recording, line.style) }))];
  const finite = lines.flatMap((line) => line.values.filter((value) => typeof value === "number"));
  const steps = Math.max(...recordings.map((recording) => recording.steps), 2);
  made.x = (step) => LEFT + (step - 1) / (steps - 1) * (width - LEFT - RIGHT);
  made.steps = steps;
  const scale = axis(finite, chart.log && state.log);
  const y = (value) => TOP + (1 - scale.share(value)) * (HEIGHT - TOP - BOTTOM);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren();
  for (const tick of scale.ticks) {
    svg.append(drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    svg.append(drawn("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const step of stepTicks(steps)) {
    svg.append(drawn("text", { x: made.x(step), y: HEIGHT - 4, "text-anchor": "middle" }, String(step)));
  }
  if (current().split) {
    const x = made.x(current().split);
    svg.append(drawn("line", { class: "splitline", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  for (const line of lines) {
    svg.append(drawn("path", { class: line.look, d: trace(line.values, made.x, y, width) }));
    svg.append(...oddMarks(line, made.x), ...endMark(line, made, y));
  }
  made.needle = drawn("line", { class: "needle", y1: TOP, y2: HEIGHT - BOTTOM });
  svg.append(made.needle);
}

// A square where a line ends before the axis does: nothing was measured after it.
function endMark({ values, look: classes }, { x, steps }, y) {
  const last = values.findLastIndex((value) => value !== null);
  if (last < 0 || last + 1 >= steps || typeof values[last] !== "number") return [];
  return [drawn("rect", { class: `endmark ${classes}`, x: x(last + 1) - 2.5, y: y(values[last]) - 2.5, width: 5, height: 5 })];
}

// Marks for what is not finite, no two over each other: ▲ infinite, ▼ minus infinite, × undefined.
function oddMarks({ values, look: classes }, x) {
  const signs = { inf: "▲", "-inf": "▼", nan: "×" }, last = {}, marks = [];
  values.forEach((value, index) => {
    const at = x(index + 1);
    if (typeof value !== "string" || at - last[value] < MARK) return;
    last[value] = at;
    const y = value === "inf" ? TOP + 6 : HEIGHT - BOTTOM;
    marks.push(drawn("text", { class: `oddmark ${classes}`, x: at, y }, signs[value]));
  });
  return marks;
}

// A path broken wherever there is no finite value; where steps outnumber pixels, the lowest and highest of each column.
function trace(values, x, y, width) {
  const per = Math.ceil(values.length / (2 * width));
  let path = "", pen = false;
  const to = (index, value) => {
    path += `${pen ? "L" : "M"}${x(index + 1).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!pen) path += "h0";
    pen = true;
  };
  for (let start = 0; start < values.length; start += per) {
    let low = -1, high = -1;
    for (let index = start; index < Math.min(start + per, values.length); index++) {
      if (typeof values[index] !== "number") { if (per === 1) pen = false; continue; }
      if (low < 0 || values[index] < values[low]) low = index;
      if (high < 0 || values[index] > values[high]) high = index;
    }
    if (low < 0) { pen = false; continue; }
    for (const index of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) to(index, values[index]);
  }
  return path;
}

// Where a value lies on the axis, as a share of its length, and which values are named on it.
function axis(values, log) {
  const positive = log ? values.filter((value) => value > 0) : [];
  if (positive.length) {
    const low = Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b))));
    const high = Math.max(low + 1, Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b)))));
    const every = Math.ceil((high - low) / 5);
    const ticks = [];
    for (let power = high; power >= low; power -= every) ticks.push(10 ** power);
    return { ticks, share: (value) => value > 0 ? clamp((Math.log10(value) - low) / (high - low), 0, 1) : 0 };
  }
  let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low > high) [low, high] = [0, 1];
  if (low === high) { const pad = Math.abs(low) / 2 || 0.5; low -= pad; high += pad; }
  const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough));
  const every = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= rough);
  const first = Math.floor(low / every), last = Math.ceil(high / every);
  const ticks = [];
  for (let count = first; count <= last; count++) ticks.push(count * every);
  return { ticks, share: (value) => (value / every - first) / (last - first) };
}

function stepTicks(steps) {
  const rough = steps / 5, unit = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const every = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= rough);
  const ticks = [1];
  for (let step = every; step <= steps; step += every) if (step > 1) ticks.push(step);
  return ticks;
}

function point(made) {
  const x = made.x(state.step);
  made.needle.setAttribute("x1", x);
  made.needle.setAttribute("x2", x);
  const told = made.chart.lines.map(({ label, values }) => {
    const value = values[state.step - 1];
    const shown = value === null ? "–" : typeof value === "string" ? value : short(value);
    return label ? `${label} ${shown}` : shown;
  });
  made.value.textContent = `step ${state.step}: ${told.join(" · ")}`;
}

function stepAt(made, clientX) {
  const box = made.svg.getBoundingClientRect();
  const first = made.x(1), last = made.x(made.steps);
  const share = ((clientX - box.left) * Math.max(160, made.svg.clientWidth) / box.width - first) / (last - first);
  return 1 + share * (made.steps - 1);
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(size < 1e-3 ? 0 : 1).replace("e+", "e").replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

// The next-token table.

function table(row) {
  const box = $("tokens");
  box.replaceChildren();
  for (const [name, tokens] of row.tables) {
    const made = document.createElement("table");
    made.append(element("caption", `next token at step ${state.step}${name && ` · ${name}`}`));
    const head = made.createTHead().insertRow();
    for (const title of ["token", "dense p", "pruned q", "rank", "log p/q", "of KL"]) head.append(element("th", title));
    const body = made.createTBody();
    for (const [token, p, q, denseRank, prunedRank, ratio, share] of tokens) {
      const line = body.insertRow();
      line.append(element("td", token), bar(p, "dense"), bar(q, "pruned"));
      line.append(element("td", denseRank === prunedRank ? `${denseRank}` : `${denseRank} → ${prunedRank}`));
      line.append(element("td", ratio), element("td", share));
    }
    box.append(made);
  }
}

function bar(value, side) {
  const cell = element("td", typeof value === "number" ? value.toFixed(3) : String(value), "bar-cell");
  const level = element("span", "", `level ${side}`);
  level.style.width = `${70 * (typeof value === "number" ? clamp(value, 0, 1) : 0)}%`;
  cell.append(level);
  return cell;
}

// What the person does.

document.addEventListener("click", (event) => {
  const { step, go: way, choose: place } = event.target.closest("[data-step],[data-go],[data-choose]")?.dataset ?? {};
  if (step) go(Number(step));
  else if (way) ways[way](event);
  else if (place) choose(Number(place));
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  if (event.target.closest("button, summary") && event.key === " ") return;
  event.preventDefault();
  ways[keys[event.key]](event);
});
addEventListener("resize", () => { build(); go(state.step); });
addEventListener("hashchange", fromHash);

function fromHash() {
  const found = /^#(?:(\d+)\.)?(\d+)$/.exec(location.hash);
  if (found) state.step = Number(found[2]);
  choose(found && found[1] ? Number(found[1]) - 1 : state.recording);
}

$("cursor").hidden = $("tokens").hidden = false;
fromHash();
