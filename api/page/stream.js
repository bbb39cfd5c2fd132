// One reader of server-sent events, by `fetch`: an EventSource can send no token in a header, and one in an address
// would stay in logs and histories. The format is that of
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
//
// A browser has six connections for one server, for all its windows together. So no more than PLACES streams are held
// open, by locks that the windows share. A stream beyond them takes turns: it reads what is new, lets its connection go,
// and comes back to where it was. https://www.w3.org/TR/web-locks/

import { Problem, headers, refused } from "./api.js";

const RETRY_MS = 1000;
const SLOW_RETRY_MS = 5000;
// The sidecar sends a comment each 15 s.
const SILENT_MS = 40_000;
// A sidecar that is at work begins an answer at once.
const BEGIN_MS = 10_000;
const PLACES = 4;
const TURN_QUIET_MS = 200;
const TURN_LONGEST_MS = 2000;

const readers = new Set();

/** Have streams that were refused, or were lost, come back at once. */
export function comeBack() {
    for (const reader of readers) reader.wake();
}

/**
 * Read events until `close()`. `onEvent(name, data, id)` gets each; `onState` is told "open", "lost" (it comes back by
 * itself, to where it was: no event is missed, and none comes twice) or "refused" with the Problem (so does it, more
 * slowly). Its turns, if it has to take some, count as open. While the tab is hidden there is no stream, since a browser has few connections for one server.
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

/** Take one of the places of this browser: a function that gives it back, or null if all are taken. */
async function takePlace() {
    // Only pages of this machine, or by https, have locks. Without them each stream is held open.
    if (!navigator.locks) return () => {};
    for (let number = 0; number < PLACES; number += 1) {
        const given = await new Promise((resolve) => {
            navigator.locks.request(`aura-stream-${number}`, { ifAvailable: true }, (lock) => {
                if (!lock) return resolve(null);
                return new Promise((giveBack) => { resolve(giveBack); });
            });
        });
        if (given) return given;
    }
    return null;
}

class Reader {
    constructor(path, lastId, onEvent, onState) {
        Object.assign(this, { path, lastId, onEvent, onState, isClosed: false, abort: null, epoch: null, wake: () => {} });
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
            let isTurn = false;
            const giveBack = await takePlace();
            try {
                if (!this.isClosed && !document.hidden) isTurn = await this.read(giveBack === null);
            } catch (error) {
                if (error instanceof Problem) {
                    this.onState("refused", error);
                    refused(error);
                    pause = SLOW_RETRY_MS;
                }
            } finally {
                giveBack?.();
            }
            if (this.isClosed || document.hidden) continue;
            if (pause === RETRY_MS && !isTurn) this.onState("lost");
            await new Promise((resolve) => {
                this.wake = resolve;
                setTimeout(resolve, pause);
            });
        }
    }

    /**
     * One connection, until it ends: false. Throws whatever else ends it. With `takesTurns` it is let go once nothing
     * more comes at once, and that is true.
     */
    async read(takesTurns) {
        let isTurnOver = false;
        const began = performance.now();
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
                silence = setTimeout(() => {
                    isTurnOver = takesTurns;
                    this.abort.abort();
                }, takesTurns ? TURN_QUIET_MS : SILENT_MS);
                const { done, value } = await parts.read();
                if (done) return false;
                rest = this.take(rest + value, takesTurns);
                if (takesTurns && performance.now() - began > TURN_LONGEST_MS) {
                    this.abort.abort();
                    return true;
                }
            }
        } catch (error) {
            if (isTurnOver) return true;
            throw error;
        } finally {
            clearTimeout(silence);
        }
    }

    /** Give out the whole events in `text`, and return what is left of it. */
    take(text, takesTurns) {
        const blocks = text.split("\n\n");
        const rest = blocks.pop();
        for (const block of blocks) {
            const fields = { event: "message", data: null, id: null };
            for (const line of block.split("\n")) {
                const colon = line.indexOf(":");
                if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
            }
            if (fields.id !== null) this.lastId = fields.id;
            // Each connection is greeted; by one that comes back in its turn nothing is to be learnt.
            if (fields.event === "hello") {
                const { epoch } = JSON.parse(fields.data);
                if (takesTurns && epoch === this.epoch) continue;
                this.epoch = epoch;
            }
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
