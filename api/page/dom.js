// Elements and lists. All text enters the page here, as text nodes and attributes.

/**
 * A new element. Names that begin with "on" are event handlers, `class` is its classes; null and false leave a
 * property out, true sets an attribute without a value. Children are nodes or texts; null ones are left out.
 */
export function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
        else set(made, name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
}

/** Set an attribute, only if that changes something; null and false remove it. */
export function set(node, name, value) {
    if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else if (node.getAttribute(name) !== (value === true ? "" : String(value))) {
        node.setAttribute(name, value === true ? "" : String(value));
    }
}

/** Set the text of a node, only if it is another one, so that live regions tell nothing twice. */
export function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/** A region that is only there while there is something to tell. */
export function tell(node, text) {
    write(node, text || "");
    node.hidden = !text;
}

/** Let a button act or not. It stays in reach of the keyboard, so that whoever is on it learns why it does nothing. */
export function allow(button, isAllowed, why = null) {
    set(button, "aria-disabled", isAllowed ? null : "true");
    set(button, "title", isAllowed ? null : why);
    set(button, "aria-description", isAllowed ? null : why);
}

/** A button that calls `act`, unless it is not allowed at present. */
export function button(label, act, properties = {}) {
    const made = element("button", { type: "button", ...properties }, label);
    made.addEventListener("click", () => {
        if (made.getAttribute("aria-disabled") !== "true") act(made);
    });
    return made;
}

/**
 * Make the children of `list` those of `items`, in that order. `make(item)` makes a node, once for each key;
 * `update(node, item)` shows an item in its node. A node that has the focus is never moved, since that takes the focus
 * away: the others are moved around it. If it goes, `fallback` gets the focus.
 */
export function keyed(list, items, keyOf, make, update, fallback) {
    const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
    const nodes = items.map((item) => {
        const key = String(keyOf(item));
        let node = old.get(key);
        if (!node) {
            node = make(item);
            node.dataset.key = key;
        }
        old.delete(key);
        update(node, item);
        return node;
    });
    const hadFocus = [...old.values()].some((node) => node.contains(document.activeElement));
    for (const node of old.values()) node.remove();
    nodes.forEach((node, index) => {
        const there = list.children[index];
        if (there === node) return;
        if (node.isConnected && node.contains(document.activeElement)) {
            while (list.children[index] !== node) list.append(list.children[index]);
        } else list.insertBefore(node, there ?? null);
    });
    if (hadFocus) fallback?.focus();
}

let announcing = 0;

/** Have a screen reader tell this, once it has told what it is telling. */
export function announce(text) {
    const region = document.querySelector("#announcer");
    clearTimeout(announcing);
    region.textContent = text;
    announcing = setTimeout(() => { region.textContent = ""; }, 5000);
}
