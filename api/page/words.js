// Numbers for people, as the tray and the API write them.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** A size in bytes: base 1024, at most two decimals, no trailing zeros. */
export function sizeText(bytes) {
    let value = Math.max(0, bytes || 0);
    let unit = 0;
    for (; value >= 1024 && unit < UNITS.length - 1; unit += 1) value /= 1024;
    return `${Number(value.toFixed(2))} ${UNITS[unit]}`;
}

/** A span of time in words: `5 s`, `3 min`, `2 h`, `4 days`. */
export function spanText(seconds) {
    if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
    if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
    if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
}

/** How long ago a moment in RFC 3339 was, or how far ahead it is; empty if it is none. */
export function agoText(moment) {
    const seconds = (Date.now() - Date.parse(moment)) / 1000;
    if (Number.isNaN(seconds)) return "";
    return seconds >= 0 ? `${spanText(seconds)} ago` : `in ${spanText(-seconds)}`;
}

/** A message and its way out as sentences, as `core.text.in_sentences` makes them. */
export function inSentences(message, action) {
    if (!action) return message;
    return /[.!?…]$/.test(message) ? `${message} ${action}` : `${message}. ${action}`;
}
