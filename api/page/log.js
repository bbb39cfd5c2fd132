// The live log of one Ollama: its lines as they are written, with search, filters, pause and a way to the end.
//
// How it works: `lines` keeps the newest 10,000 as text. Each animation frame turns some of them into rows, for a few
// milliseconds, so that a flood of lines never holds the page up. Rows are in chunks of 100; the browser lays out the
// chunks that are near the view (`content-visibility` in log.css). A new search builds its rows beside those on the
// screen, and takes their place once it is through. Where lines go before they got a row, as in a long pause, a note
// takes their place. So the browser's own search, selection and screen readers have
// real text to work with, and memory stays bounded.

import { announce, element, write } from "./dom.js";

const KEPT_LINES = 10_000;
const FIRST_LINES = 2_000;
const ROWS_IN_CHUNK = 100;
const FRAME_MILLISECONDS = 6;
// A search for one letter finds it in nearly every line, many times.
const MARKS_IN_ROW = 20;
const MOST_MARKS = 10_000;
const LONGEST_SHOWN = 4_000;
// So near to its end, in CSS pixels, the log counts as being there: sizes are fractions where a screen is scaled.
const NEAR_END = 4;

const STREAMS = { OUT: "Output", ERR: "Errors", SYS: "Sidecar" };
// As core/logs/segments.py writes it: "[OUT] yyyy-MM-dd HH:mm:ss ".
const PREFIX = /^\[(OUT|ERR|SYS)\] /;
const NOTE = "NOTE";

/**
 * Build the log inside `host`. `open(path, {lastId, onEvent, onState})` reads a stream of events, comes back by itself,
 * and returns something to `close()`.
 *
 * Returns `show(path)`, which reads that stream from where it was left, or anew if it is another one; and `hide()`,
 * which stops reading and keeps the lines.
 */
export function logView(host, open) {
    const view = new LogView(host);
    let path = null;
    let lastId = null;
    let stream = null;

    function take(name, data, id) {
        // A stream that comes back begins after the last id. Should it begin with it, that line is here already.
        if (id && id === lastId) return;
        if (id) lastId = id;
        if (name === "message") view.add(data);
        else if (name === "gap") view.add(JSON.parse(data).message, NOTE);
    }

    function hide() {
        stream?.close();
        stream = null;
    }

    function show(wanted) {
        if (stream && wanted === path) return;
        hide();
        if (wanted !== path) {
            [path, lastId] = [wanted, null];
            view.clear();
        }
        stream = open(`${path}?from=${FIRST_LINES}`, { lastId, onEvent: take, onState: view.say });
    }

    return { show, hide };
}

class LogView {
    #lines = [];
    // Lines are numbered from the first that ever came; #dropped of them are gone, and #next gets its row next.
    #dropped = 0;
    // #seen of them have had a row, and #missed went without one since.
    #next = 0;
    #seen = 0;
    #missed = 0;
    #pausedAt = 0;
    #rows = 0;
    #marks = 0;
    #matches = null;
    #streams = new Set([...Object.keys(STREAMS), NOTE]);
    #paused = false;
    #follows = true;
    #frame = 0;
    #scrolledTo = 0;
    #problem = "";
    #isMarkedWhole = true;

    constructor(host) {
        this.search = element("input", { type: "search", placeholder: "Find in the log", "aria-label": "Find in the log" });
        this.pause = element("button", { type: "button", "aria-pressed": "false" }, "Pause");
        this.end = element("button", { type: "button" }, "Jump to the end");
        // A screen reader is told what the user's own doing has changed, and not each number that follows.
        this.told = element("p", { class: "log-told" });
        this.body = this.target = element("div");
        this.list = element(
            "div",
            { class: "log-lines", role: "log", "aria-live": "off", "aria-label": "Lines of the log", tabindex: 0 },
            this.body,
        );
        const streams = element("fieldset", { class: "log-streams" }, element("legend", {}, "Lines of"));
        for (const [name, label] of Object.entries(STREAMS)) streams.append(this.#filter(name, label));
        const tools = element("div", { class: "log-tools" }, this.search, streams, this.pause, this.end);
        host.replaceChildren(tools, this.told, this.list);

        this.search.addEventListener("input", () => this.#find());
        this.pause.addEventListener("click", () => this.#setPaused(!this.#paused));
        this.end.addEventListener("click", () => this.#jump());
        this.list.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    }

    /** Add one line, on the screen with the next frame. */
    add(text, stream = PREFIX.exec(text)?.[1] ?? "OUT") {
        this.#lines.push({ text, stream });
        if (this.#lines.length > KEPT_LINES * 1.1) this.#drop(this.#lines.length - KEPT_LINES);
        this.#wake();
    }

    /** Forget the oldest lines. If some have never been shown, the place of the oldest that stays tells how many. */
    #drop(count) {
        // The note of an earlier time goes as well, if nobody has seen it.
        const before = this.#seen > this.#dropped ? 0 : this.#missed;
        this.#dropped += count;
        this.#lines.splice(0, count);
        const unseen = this.#dropped - this.#seen;
        this.#missed = 0;
        if (unseen > 0) {
            this.#missed = before + unseen;
            const words = `${counted(this.#missed + 1, "line")} of the log came too fast, or in a pause, and are not shown.`;
            this.#lines[0] = { text: words, stream: NOTE };
            this.#seen = this.#dropped;
        }
        this.#next = Math.max(this.#next, this.#dropped);
    }

    clear() {
        [this.#lines, this.#dropped, this.#seen, this.#missed] = [[], 0, 0, 0];
        this.#rebuild();
        this.#setPaused(false);
        this.#jump();
    }

    /** Tell how the stream does: "open", "lost" or "refused", with the problem if there is one. */
    say = (state, problem) => {
        const lost = "The log cannot be read at this moment; it goes on by itself.";
        const before = this.#problem;
        this.#problem = state === "open" ? "" : (problem?.message ?? lost);
        this.#tell(this.#problem !== before);
    };

    #tell(isNews = false) {
        const words = this.#problem || (this.#paused ? this.#waiting() : this.#found());
        write(this.told, words);
        if (isNews && words) announce(words);
    }

    #waiting() {
        const came = this.#dropped + this.#lines.length - this.#pausedAt;
        if (!came) return "Paused. New lines wait.";
        const kept = Math.min(came, this.#lines.length);
        const lines = counted(came, "new line");
        return kept < came ? `Paused. ${lines}; the newest ${number(kept)} wait.` : `Paused. ${lines}.`;
    }

    /** How many lines of those shown a search has found; nothing without a search, or while it is under way. */
    #found() {
        if (!this.#matches || this.target !== this.body) return "";
        return `${counted(this.#rows, "line")} found${this.#isMarkedWhole ? "" : "; not every match is marked"}.`;
    }

    #filter(name, label) {
        const box = element("input", { type: "checkbox", checked: true });
        box.addEventListener("change", () => {
            if (box.checked) this.#streams.add(name);
            else this.#streams.delete(name);
            this.#rebuild();
        });
        return element("label", { class: `log-${name.toLowerCase()}` }, box, label);
    }

    #find() {
        const wanted = this.search.value;
        this.#matches = wanted ? new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi") : null;
        this.#rebuild();
    }

    #setPaused(paused) {
        this.#paused = paused;
        this.#pausedAt = this.#dropped + this.#lines.length;
        this.pause.ariaPressed = String(paused);
        this.#tell(true);
        this.#wake();
    }

    #jump() {
        this.#follows = true;
        if (this.#paused) this.#setPaused(false);
        this.#toEnd();
    }

    #scrolled() {
        const { scrollTop, scrollHeight, clientHeight } = this.list;
        // Rows that come or go move the view as well; only the user moves it up.
        if (scrollHeight - scrollTop - clientHeight <= NEAR_END) this.#follows = true;
        else if (scrollTop < this.#scrolledTo - NEAR_END) this.#follows = false;
        this.#scrolledTo = scrollTop;
    }

    #toEnd() {
        this.list.scrollTop = this.list.scrollHeight;
        this.#scrolledTo = this.list.scrollTop;
    }

    /** Make all rows anew, in an element that takes the place of the shown one when it has them all. */
    #rebuild() {
        this.target = element("div");
        [this.#next, this.#rows, this.#marks, this.#isMarkedWhole] = [this.#dropped, 0, 0, true];
        this.#wake();
    }

    #wake() {
        this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#work();
        });
    }

    #work() {
        const isRebuilt = this.target !== this.body;
        // A pause holds new lines back; a search goes through those that are here.
        if (this.#paused && !isRebuilt) {
            this.#tell();
            return;
        }
        const began = performance.now();
        const last = this.#dropped + this.#lines.length;
        while (this.#next < last && performance.now() - began < FRAME_MILLISECONDS) {
            for (const end = Math.min(last, this.#next + 20); this.#next < end; this.#next += 1) {
                const line = this.#lines[this.#next - this.#dropped];
                if (this.#fits(line)) this.#append(this.#row(line));
            }
        }
        this.#seen = Math.max(this.#seen, this.#next);
        if (this.#next < last) this.#wake();
        else if (isRebuilt) this.#swap();
        else this.#tell();
        if (this.#follows && this.target === this.body) this.#toEnd();
    }

    #swap() {
        this.body.replaceWith(this.target);
        this.body = this.target;
        this.#follows = true;
        this.#tell(true);
    }

    #fits({ text, stream }) {
        if (!this.#streams.has(stream)) return false;
        if (!this.#matches) return true;
        this.#matches.lastIndex = 0;
        return this.#matches.test(text);
    }

    #row({ text, stream }) {
        const shown = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
        const row = document.createElement("div");
        row.className = `log-${stream.toLowerCase()}`;
        if (!this.#matches) {
            row.textContent = shown;
            return row;
        }
        // `matchAll` begins where `test` has ended.
        this.#matches.lastIndex = 0;
        let at = 0;
        let marks = 0;
        for (const { 0: found, index } of shown.matchAll(this.#matches)) {
            if (marks === MARKS_IN_ROW) {
                this.#isMarkedWhole = false;
                break;
            }
            marks += 1;
            row.append(shown.slice(at, index), element("mark", {}, found));
            at = index + found.length;
        }
        row.append(shown.slice(at));
        this.#marks += marks;
        return row;
    }

    #append(row) {
        let chunk = this.target.lastElementChild;
        if (!chunk || chunk.childElementCount >= ROWS_IN_CHUNK) {
            chunk = element("div", { class: "log-chunk" });
            this.target.append(chunk);
        }
        chunk.append(row);
        this.#rows += 1;
        const first = this.target.firstElementChild;
        if (this.#rows - first.childElementCount >= KEPT_LINES * 1.1) {
            this.#rows -= first.childElementCount;
            this.#marks -= first.getElementsByTagName("mark").length;
            first.remove();
        }
        if (this.#marks > MOST_MARKS) this.#unmark();
    }

    /** Take the marks out of the oldest chunk that has any. */
    #unmark() {
        this.#isMarkedWhole = false;
        const chunk = this.target.querySelector("mark").closest(".log-chunk");
        this.#marks -= chunk.getElementsByTagName("mark").length;
        for (const row of chunk.children) row.replaceChildren(row.textContent);
    }
}

function number(count) {
    return count.toLocaleString("en");
}

function counted(count, what) {
    return `${number(count)} ${what}${count === 1 ? "" : "s"}`;
}
