"use strict";
// Draws what the server says, and nothing that it does not say. Every number on the page carries the path of its source in `data-v`.

const CAUSES = {
  owner: "blocked by the pool’s owner", connect: "cannot be reached", tls: "TLS failed",
  protocol: "refused, or failed", status: "answered 403", other: "failed",
};
const STATES = { blocked: "avoided", in_use: "in use", ready: "ready", dialling: "dialling", empty: "none" };

const hundredths = (n, unit) => (Math.round(n * 100 / unit) / 100).toFixed(2);
const format = {
  int: n => n.toLocaleString("en"),
  text: t => t,
  share: n => [(Math.round(n * 1e3) / 10).toFixed(1), "%"],
  time: us => us < 1e3 ? [us, "µs"] : us < 1e6 ? [hundredths(us, 1e3), "ms"] : [hundredths(us, 1e6), "s"],
  clock: ms => { const s = Math.round(ms / 1e3); return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`; },
};

const $ = id => document.getElementById(id);
const at = (value, path) => path.split(".").reduce((inner, key) => inner?.[key], value);

function make(name, attributes = {}, ...inner) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inner);
  return element;
}

function show(element, value) {
  if (value === null || value === undefined) { element.textContent = "–"; return; }
  const kind = element.dataset.f ?? (typeof value === "number" ? "int" : "text");
  const said = format[kind](value);
  if (!Array.isArray(said)) { element.textContent = said; return; }
  const unit = element.classList.contains("big") ? make("small", {}, said[1]) : ` ${said[1]}`;
  element.replaceChildren(`${said[0]}`, unit);
}

// --- tables

function hostCard(host, h) {
  const cell = (path, more = {}) => make("td", { "data-v": `hosts.${h}.${path}`, ...more });
  const rows = host.ips.map((ip, i) => make("tr", {},
    cell(`ips.${i}.ip`),
    make("td", {}, make("span", { class: "state", "data-state": `hosts.${h}.ips.${i}` }, make("i"), make("span"))),
    make("td", {}, make("div", { class: "dots", "data-dots": `hosts.${h}.ips.${i}` })),
    cell(`ips.${i}.live`, { class: "n c-live" }), cell(`ips.${i}.leases`, { class: "n c-leases" }),
    cell(`ips.${i}.hot_p50`, { class: "n", "data-f": "time" })));
  const head = make("tr", {}, ...[["c-ip", "Address"], ["c-state", "State"], ["", ""], ["n c-num c-live", "Live"],
    ["n c-num c-leases", "Leases"], ["n c-time", "Hot p50"]].map(([kind, name]) => make("th", { class: kind, scope: "col" }, name)));
  head.children[2].append(make("span", { class: "wide" }, "Connections"), make("span", { class: "narrow" }, "Conns"));
  const note = make("p", { class: "legend" }, `${host.protocol}, reused `,
    make("b", { "data-v": `hosts.${h}.reuse`, "data-f": "share" }));
  return make("section", { class: "card host" },
    make("div", { class: "bar" }, make("h2", {}, host.target), note),
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function hosts(now) {
  const shape = now.hosts.map(host => host.target + host.ips.map(ip => ip.ip)).join();
  if ($("hosts").dataset.shape !== shape) {
    $("hosts").dataset.shape = shape;
    $("hosts").replaceChildren(...now.hosts.map(hostCard));
  }
  for (const element of document.querySelectorAll("[data-state]")) {
    const ip = at(now, element.dataset.state);
    element.className = `state ${ip.state}`;
    element.lastChild.textContent = ip.blocked_ms === null ? STATES[ip.state] : `avoided ${format.clock(ip.blocked_ms)}`;
  }
  for (const element of document.querySelectorAll("[data-dots]")) {
    const ip = at(now, element.dataset.dots);
    const kinds = [...Array(ip.active).fill("used"), ...Array(ip.live - ip.active).fill("ready"), ...Array(ip.dialling).fill("dial")];
    element.replaceChildren(...kinds.map(kind => make("i", { class: kind })));
  }
}

// --- lists

function lists(now) {
  const most = Math.max(1, ...now.closes.map(([, count]) => count));
  const closes = now.closes.map(([reason, count], i) => {
    const bar = make("u");
    bar.style.width = `${100 * count / most}%`;
    return make("li", {}, make("span", {}, reason.replaceAll("_", " ")), make("b", { class: "n", "data-v": `closes.${i}.1` }), bar);
  });
  $("closes").replaceChildren(...(closes.length ? closes : [make("li", { class: "none" }, "No connection has closed yet.")]));
  const blocked = now.blocked.map((block, i) => make("li", {},
    make("span", { "data-v": `blocked.${i}.scope`, title: block.scope }),
    block.left_ms === null ? make("b", {}, "until unblocked") : make("b", { "data-v": `blocked.${i}.left_ms`, "data-f": "clock" }),
    make("em", {}, CAUSES[block.cause])));
  $("blocked").replaceChildren(...(blocked.length ? blocked : [make("li", { class: "none" }, "No address is avoided.")]));
}

function switches(now) {
  for (const { id, label, on } of now.switches) {
    let button = $(`switch-${id}`);
    if (!button) {
      button = make("button", { id: `switch-${id}`, type: "button" }, make("i"), label);
      button.addEventListener("click", () => {
        const to = button.getAttribute("aria-pressed") === "true" ? "off" : "on";
        fetch(`/do/${id}/${to}`, { method: "POST", headers: { "x-dashboard": "1" } }).catch(() => {});
      });
      $("switches").append(button);
    }
    button.setAttribute("aria-pressed", on);
  }
}

// --- plots

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function hatch() {
  const pattern = svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  const stripe = svg("rect", { width: 2, height: 5 });
  stripe.style.fill = "var(--stop)";
  pattern.append(stripe);
  return pattern;
}

function line(now) {
  const plot = $("line"), width = plot.clientWidth, height = plot.clientHeight;
  const top = 50, left = 26, foot = height - 36, right = width - 4;
  const span = now.moments * now.every_ms, end = now.at_ms, begin = end - span;
  const most = Math.max(8, 4 * Math.ceil(Math.max(...now.timeline.map(point => point.active + point.idle)) / 4));
  const x = ms => left + (right - left) * (ms - begin) / span;
  const y = count => foot - (foot - top) * count / most;
  const parts = [hatch()];
  for (let count = 0; count <= most; count += most / 4) {
    parts.push(svg("line", { class: count ? "grid" : "axis", x1: left, x2: right, y1: y(count), y2: y(count) }));
    parts.push(svg("text", { x: left - 7, y: y(count) + 4, "text-anchor": "end" }, count));
  }
  const area = (low, high, kind) => {
    const points = now.timeline;
    const there = points.map((point, i) => `${x(point.at)},${y(high(point))} ${x(points[i + 1]?.at ?? end)},${y(high(point))}`);
    const back = points.map((point, i) => `${x(points[i + 1]?.at ?? end)},${y(low(point))} ${x(point.at)},${y(low(point))}`).reverse();
    parts.push(svg("polygon", { class: kind, points: [...there, ...back].join(" ") }));
  };
  area(() => 0, point => point.active, "used");
  area(point => point.active, point => point.active + point.idle, "ready");
  // Addresses avoided: a strip below, for as long as there was one.
  for (let i = 0; i < now.timeline.length;) {
    let j = i;
    const avoided = point => point && point.blocked > 0, some = avoided(now.timeline[i]);
    while (j < now.timeline.length && avoided(now.timeline[j]) === some) j++;
    const from = x(now.timeline[i].at), to = x(now.timeline[j]?.at ?? end);
    const strip = { x: from, y: foot + 5, width: Math.max(1, to - from), height: 9 };
    if (some) parts.push(svg("rect", { ...strip, fill: "url(#hatch)" }), svg("rect", { ...strip, class: "edge" }));
    i = j;
  }
  for (let ago = 0; ago <= span; ago += 30_000) {
    const name = ago ? `${ago / 1e3} s ago` : "now";
    const anchor = ago === 0 ? "end" : ago === span ? "start" : "middle";
    if (width < 500 && ago % 60_000) continue;
    parts.push(svg("text", { x: x(end - ago), y: height - 4, "text-anchor": anchor }, name));
  }
  // What was done: the newest first, as far as there is room to say it.
  const taken = [[], [], []], said = [];
  for (const [ms, deed] of [...now.marks].reverse()) {
    const from = x(ms), length = deed.length * 6.6 + 10;
    if (from < left) continue;
    const right_of = from + length < right;
    const [a, b] = right_of ? [from, from + length] : [from - length, from];
    const row = taken.findIndex(row => row.every(([c, d]) => b < c || a > d));
    parts.push(svg("line", { class: "mark", x1: from, x2: from, y1: row < 0 ? top : 4 + row * 15, y2: foot }));
    if (row < 0 || a < 0) continue;
    taken[row].push([a, b]);
    said.push(svg("text", { class: "said", x: from + (right_of ? 5 : -5), y: 13 + row * 15, "text-anchor": right_of ? "start" : "end" }, deed));
  }
  plot.replaceChildren(...parts, ...said);
}

function latency(now) {
  const plot = $("lat"), width = plot.clientWidth, height = plot.clientHeight;
  const count = now.hot.buckets.length, middle = (height - 20) / 2, reach = middle - 18;
  const x = bucket => width * bucket / count;
  const parts = [];
  for (let decade = 0; decade <= 4; decade++) {
    const here = x(decade * 8);
    parts.push(svg("line", { class: "grid", x1: here, x2: here, y1: 0, y2: height - 20 }));
    parts.push(svg("text", { x: here + (decade ? 0 : 1), y: height - 5, "text-anchor": decade ? decade === 4 ? "end" : "middle" : "start" },
      ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms"][decade]));
  }
  for (const [kind, sign] of [["hot", -1], ["cold", 1]]) {
    const { buckets, samples, p50 } = now[kind], most = Math.max(1, ...buckets);
    buckets.forEach((some, bucket) => {
      const tall = some && Math.max(1, reach * some / most);
      parts.push(svg("rect", { class: kind, x: x(bucket) + 1, width: Math.max(1, x(1) - 2), y: sign < 0 ? middle - 1 - tall : middle + 1, height: tall }));
    });
    const edge = middle + sign * middle;
    if (p50 === null) {
      parts.push(svg("text", { x: width - 2, y: edge - sign * 8 + (sign < 0 ? 4 : 0), "text-anchor": "end" }, `nothing ${kind} yet`));
      continue;
    }
    const here = x(Math.min(count, Math.max(0, Math.log10(p50 / 10) * 8)));
    const [n, unit] = format.time(p50), left = here > width * .6;
    parts.push(svg("line", { class: "median", x1: here, x2: here, y1: middle, y2: edge }));
    parts.push(svg("text", { class: "said", x: here + (left ? -5 : 5), y: edge + (sign < 0 ? 11 : -3), "text-anchor": left ? "end" : "start" },
      `median ${n} ${unit}`));
  }
  parts.push(svg("line", { class: "axis", x1: 0, x2: width, y1: middle, y2: middle }));
  plot.replaceChildren(...parts);
}

// --- all of it

let last = null;

function render(now) {
  if (!now) return;
  last = now;
  hosts(now);
  lists(now);
  switches(now);
  $("health").className = now.health.well ? "health" : "health ill";
  $("health").title = now.health.why;
  for (const element of document.querySelectorAll("[data-v]")) show(element, at(now, element.dataset.v));
  line(now);
  latency(now);
  document.documentElement.dataset.seq = now.seq;
}

render(JSON.parse($("numbers").textContent));
addEventListener("resize", () => render(last));
const events = new EventSource("/events");
events.onopen = () => { $("stream").textContent = "live"; };
events.onerror = () => { $("stream").textContent = "not connected"; };
events.onmessage = event => render(JSON.parse(event.data));
