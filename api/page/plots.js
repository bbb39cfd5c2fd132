// Plots of what one Ollama took and how fast it answered over the last ten minutes, as small SVG pictures.
//
// What is not known is left open: a line ends before a gap and begins anew behind it, and is never drawn at 0. Under
// each plot's title stands its newest value; the same, with the lowest and the highest, is the text of the picture.

import { element } from "./dom.js";
import { sizeText } from "./words.js";

const KEPT_SECONDS = 600;
// The sidecar samples each second while somebody looks, else each 30 s. A pause is a gap if it is longer than these,
// and longer than those beside it.
const LEAST_GAP = 3;
const HEIGHT = 100;
const SVG = "http://www.w3.org/2000/svg";

// `least` is the smallest upper end of the scale, `base` what its steps 1, 2, 5, 10, ... are multiples of.
const PLOTS = [
    { key: "memory", title: "Memory", text: sizeText, least: 100 * 1024 ** 2, base: 1024 },
    { key: "cpu", title: "Processor", text: coresText, least: 1, base: 1000 },
    { key: "vram", title: "Graphics memory", text: sizeText, least: 1024 ** 3, base: 1024 },
    { key: "latency", title: "Time to answer", text: secondsText, least: 0.1, base: 1000, asDots: true },
];

/**
 * Build the plots inside `host`. Returns `history(body, instance)`, which takes the body of GET /api/ollama/metrics;
 * `sample(data)`, which takes the data of an event `metrics` and ignores those of other instances;
 * `follow(isThere)`, which says whether there is anybody who tells what is so now; and `clear()`.
 */
export function plots(host) {
    const all = PLOTS.map((kind) => new Plot(kind));
    host.replaceChildren(element("div", { class: "plots" }, ...all.map((plot) => plot.figure)));
    let points = [];
    let counted = null;
    let of = null;
    let isThere = true;
    let frame = 0;

    function draw() {
        frame ||= requestAnimationFrame(() => {
            frame = 0;
            const now = points.at(-1)?.at ?? 0;
            points = points.filter(({ at }) => at > now - KEPT_SECONDS);
            for (const plot of all) plot.draw(points, now, isThere);
        });
    }

    function history(body, instance) {
        const found = body.instances.find(({ id }) => id === instance);
        const rows = found?.history ?? { at: [] };
        points = rows.at.map((at, row) => ({
            at,
            memory: rows.memoryBytes[row],
            cpu: rows.cpu[row],
            vram: rows.vramBytes[row],
            latency: mean(rows.requestSeconds[row], rows.requests[row]),
        }));
        counted = found?.now;
        of = instance;
        draw();
    }

    function sample(data) {
        const at = Date.parse(data.at) / 1000;
        if (data.instance !== of || at <= (points.at(-1)?.at ?? 0)) return;
        // Without the sample before, or across a new start of the sidecar, the difference tells nothing.
        const requests = counted ? data.requests - counted.requests : 0;
        const latency = requests > 0 ? mean(data.requestSeconds - counted.requestSeconds, requests) : null;
        counted = data;
        points.push({ at, memory: data.memoryBytes, cpu: data.cpu, vram: data.vramBytes, latency });
        draw();
    }

    function follow(value) {
        isThere = value;
        draw();
    }

    function clear() {
        [points, counted, of] = [[], null, null];
        draw();
    }

    return { history, sample, follow, clear };
}

class Plot {
    constructor(kind) {
        this.kind = kind;
        this.newest = element("span", { class: "plot-newest" });
        this.labels = [1, 0.5, 0].map(() => element("span", {}));
        this.line = document.createElementNS(SVG, "path");
        this.line.setAttribute("class", kind.asDots ? "plot-line plot-dots" : "plot-line");
        const grid = document.createElementNS(SVG, "path");
        grid.setAttribute("class", "plot-grid");
        grid.setAttribute("d", [0, 0.5, 1].map((share) => `M0 ${share * HEIGHT}H${KEPT_SECONDS}`).join(""));
        this.picture = document.createElementNS(SVG, "svg");
        this.picture.setAttribute("viewBox", `0 0 ${KEPT_SECONDS} ${HEIGHT}`);
        this.picture.setAttribute("preserveAspectRatio", "none");
        this.picture.setAttribute("role", "img");
        this.picture.append(grid, this.line);
        const moments = ["10 min ago", "5 min ago", "now"].map((words) => element("span", {}, words));
        this.figure = element(
            "figure",
            { class: "plot" },
            element("figcaption", {}, element("span", {}, kind.title), this.newest),
            element("div", { class: "plot-scale", "aria-hidden": "true" }, ...this.labels),
            this.picture,
            element("div", { class: "plot-time", "aria-hidden": "true" }, ...moments),
        );
        this.draw([], 0, false);
    }

    /** Draw the points, oldest first, up to the moment `now`. The newest value is told only if somebody is there who tells it. */
    draw(points, now, isThere) {
        const { key, text, title, least, base, asDots } = this.kind;
        const values = points.map((point) => point[key]).filter((value) => value !== null);
        const [lowest, highest] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [
            Infinity,
            -Infinity,
        ]);
        const top = values.length ? upperEnd(Math.max(highest, least), base) : least;
        const x = (at) => (KEPT_SECONDS - (now - at)).toFixed(1);
        const y = (value) => (HEIGHT * (1 - value / top)).toFixed(1);
        this.line.setAttribute("d", asDots ? dots(points, key, x, y) : lines(points, key, x, y));
        this.labels.forEach((label, index) => {
            label.textContent = text(top * (1 - index / 2));
        });
        const last = points.at(-1)?.[key] ?? (asDots ? values.at(-1) : null) ?? null;
        const newest = isThere ? last : null;
        this.newest.textContent = newest === null ? "not known" : text(newest);
        this.picture.setAttribute(
            "aria-label",
            values.length
                ? `${title} over the last 10 minutes: ${asDots ? "last" : "now"} ${this.newest.textContent}, ` +
                      `lowest ${text(lowest)}, highest ${text(highest)}.`
                : `${title}: nothing is known of the last 10 minutes.`,
        );
    }
}

function dots(points, key, x, y) {
    return points
        .filter((point) => point[key] !== null)
        .map((point) => `M${x(point.at)} ${y(point[key])}h0`)
        .join("");
}

function lines(points, key, x, y) {
    let path = "";
    let isOpen = false;
    points.forEach((point, index) => {
        const value = point[key];
        if (isOpen && (value === null || isGap(points, index))) isOpen = false;
        if (value === null) return;
        // A value between two gaps is a line without length, which round ends make a dot.
        path += `${isOpen ? "L" : "M"}${x(point.at)} ${y(value)}${isOpen ? "" : "h0"}`;
        isOpen = true;
    });
    return path;
}

/** Whether nothing was measured for some time before that point. */
function isGap(points, index) {
    const pause = (end) => (points[end] && points[end - 1] ? points[end].at - points[end - 1].at : 0);
    return pause(index) > Math.max(LEAST_GAP, 1.5 * pause(index - 1), 1.5 * pause(index + 1));
}

/** The least of 1, 2, 5, 10, 20, ... times a power of `base` that is no less than the value. */
function upperEnd(value, base) {
    const unit = base ** Math.floor(Math.log(value) / Math.log(base));
    for (const step of [1, 2, 5, 10, 20, 50, 100, 200, 500]) if (step * unit >= value) return step * unit;
    return base * unit;
}

function mean(seconds, requests) {
    return requests ? seconds / requests : null;
}

function coresText(cores) {
    return `${Number(cores.toFixed(2))} ${cores === 1 ? "core" : "cores"}`;
}

function secondsText(seconds) {
    return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${Number(seconds.toFixed(1))} s`;
}
