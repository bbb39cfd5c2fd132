// One reader of server-sent events, by `fetch`: an EventSource can send no token in a header, and one in an address
// would stay in logs and histories. The format is that of
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

import { Problem, headers, refused } from "./api.js";

const RETRY_MS = 1000;
const SLOW_RETRY_MS = 5000;
// The sidecar sends a comment each 15 s.
const SILENT_MS = 40_000;
// A sidecar that is at work begins an answer at once.
const BEGIN_MS = 10_000;

const readers = new Set();

/** Have streams that were refused, or were lost, come back at once. */
export function comeBack() {
    for (const reader of readers) reader.wake();
}

/**
 * Read events until `close()`. `onEvent(name, data, id)` gets each; `onState` is told "open", "lost" (it comes back by
 * itself, to where it was: no event is missed, and none comes twice) or "refused" with the Problem (so does it, more
 * slowly). While the tab is hidden there is no stream, since a browser has few connections for one server.
 */
export function openStream(path, { lastId = null, onEvent, onState = () => {} }) {
    const reader = new Reader(path, lastId, onEvent, onState);
    readers.add(reader);
    reader.run();
    return {
        close() {
            readers.delete(reader);
            reader.close();
        },
    };
}

class Reader {
    constructor(path, lastId, onEvent, onState) {
        Object.assign(this, { path, lastId, onEvent, onState, isClosed: false, abort: null, wake: () => {} });
        this.onShown = () => (document.hidden ? this.abort?.abort() : this.wake());
        document.addEventListener("visibilitychange", this.onShown);
    }

    close() {
        this.isClosed = true;
        document.removeEventListener("visibilitychange", this.onShown);
        this.abort?.abort();
        this.wake();
    }

    async run() {
        while (!this.isClosed) {
            if (document.hidden) {
                await new Promise((resolve) => { this.wake = resolve; });
                continue;
            }
            let pause = RETRY_MS;
            try {
                await this.read();
            } catch (error) {
                if (error instanceof Problem) {
                    this.onState("refused", error);
                    refused(error);
                    pause = SLOW_RETRY_MS;
                }
            }
            if (this.isClosed || document.hidden) continue;
            if (pause === RETRY_MS) this.onState("lost");
            await new Promise((resolve) => {
                this.wake = resolve;
                setTimeout(resolve, pause);
            });
        }
    }

    /** One connection, until it ends. Throws whatever ends it. */
    async read() {
        this.abort = new AbortController();
        let silence = setTimeout(() => this.abort.abort(), BEGIN_MS);
        const place = this.lastId ? { "Last-Event-ID": this.lastId } : {};
        try {
            const response = await fetch(this.path, {
                headers: { ...headers(), ...place, Accept: "text/event-stream" },
                cache: "no-store",
                credentials: "omit",
                signal: this.abort.signal,
            });
            if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
            this.onState("open");
            const parts = response.body.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
                clearTimeout(silence);
                silence = setTimeout(() => this.abort.abort(), SILENT_MS);
                const { done, value } = await parts.read();
                if (done) return;
                rest = this.take(rest + value);
            }
        } finally {
            clearTimeout(silence);
        }
    }

    /** Give out the whole events in `text`, and return what is left of it. */
    take(text) {
        const blocks = text.split("\n\n");
        const rest = blocks.pop();
        for (const block of blocks) {
            const fields = { event: "message", data: null, id: null };
            for (const line of block.split("\n")) {
                const colon = line.indexOf(":");
                if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
            }
            if (fields.id !== null) this.lastId = fields.id;
            try {
                if (fields.data !== null) this.onEvent(fields.event, fields.data, fields.id);
            } catch (error) {
                // One event that cannot be shown must not keep the others away.
                reportError(error);
            }
            if (this.isClosed) return "";
        }
        return rest;
    }
}
