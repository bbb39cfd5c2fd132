// What the page knows, and who wants to be told when that changes. Only what the sidecar has told enters here.

const values = new Map();
const listeners = new Map();

export const store = {
    /** The value of a key, undefined until it is known. */
    get: (key) => values.get(key),

    /** Note what the sidecar tells, and tell those who listen for it. */
    set(key, value) {
        values.set(key, value);
        for (const listener of listeners.get(key) ?? []) listener(value);
    },

    /** Have `listener` called with each new value of these keys, and once with the present one, if there is one. */
    on(keys, listener) {
        for (const key of [keys].flat()) {
            if (!listeners.has(key)) listeners.set(key, new Set());
            listeners.get(key).add(listener);
        }
        const first = values.get([keys].flat()[0]);
        if (first !== undefined) listener(first);
    },
};

/** Why nothing is known of the sidecar at present, null if it is there. What it told before need not hold any more. */
export function absence() {
    const words = {
        open: null,
        lost: "The sidecar does not answer.",
        refused: "The sidecar refuses the calls of this page.",
    };
    const connection = store.get("connection");
    return connection in words ? words[connection] : "The sidecar has not answered yet.";
}

/** Why nothing can be asked of the Ollama at present, null if it can. */
export function obstacle() {
    return absence() ?? (store.get("status")?.running ? null : "Ollama is not running.");
}
