// The live log.

/** Shows nothing yet. */
export function logView() {
    return { show() {}, hide() {} };
}
