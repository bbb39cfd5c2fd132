// What Ollama costs, as plots.

/** Shows nothing yet. */
export function plots() {
    return { history() {}, sample() {}, clear() {} };
}
