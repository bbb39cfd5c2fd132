// Calls of the sidecar's API, and the token that they bear if this page was given one.

import { inSentences } from "./words.js";

const HELD = "auraToken";
const SECONDS = 40;
const listeners = new Set();

/** What went wrong with a call, in the API's words. `code` is "unreachable" if there was no answer. */
export class Problem extends Error {
    constructor(status, body) {
        super(body.message || `The sidecar answered with status ${status}.`);
        this.status = status;
        this.code = body.code || "";
        this.action = body.action || null;
    }

    /** All that there is to say, in sentences. */
    get words() {
        return inSentences(this.message, this.action);
    }

    /** Whether a token would let the call pass. */
    get asksForToken() {
        return ["token_required", "user_refused", "too_many_failures"].includes(this.code);
    }
}

export const UNREACHABLE = { code: "unreachable", message: "The sidecar does not answer." };

/** The headers of each call. */
export function headers() {
    const token = sessionStorage.getItem(HELD);
    return token ? { "X-Aura-Token": token } : {};
}

/** Keep a token for as long as this tab is there, or forget it (null). */
export function keep(token) {
    if (token) sessionStorage.setItem(HELD, token);
    else sessionStorage.removeItem(HELD);
}

/** Whether this tab has a token. */
export function isHeld() {
    return sessionStorage.getItem(HELD) !== null;
}

/** Have `listener` called with each problem that a token would solve. */
export function onRefused(listener) {
    listeners.add(listener);
}

/** Tell those who can ask for a token of a refusal; anybody who reads an answer calls it. */
export function refused(problem) {
    if (problem.asksForToken) for (const listener of listeners) listener(problem);
}

/** Call the API. Returns the body. Throws a Problem; one that asks for the token is also told to `onRefused`. */
export async function call(method, path, body = undefined, more = {}, seconds = SECONDS) {
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { "Content-Type": "application/json" };
    let response;
    try {
        response = await fetch(path, {
            method,
            ...content,
            headers: { ...headers(), ...type, ...more },
            cache: "no-store",
            credentials: "omit",
            signal: AbortSignal.timeout(seconds * 1000),
        });
    } catch {
        throw new Problem(0, UNREACHABLE);
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const problem = new Problem(response.status, answer);
    refused(problem);
    throw problem;
}

/** The path of a call about a model, whose name may hold any sign. */
export function modelPath(name, action = "") {
    return `/api/ollama/models/${encodeURIComponent(name)}${action}`;
}
