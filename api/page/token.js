// The token, where the settings ask for one: asked for once, and kept for as long as this tab is there.

import { Problem, call, keep } from "./api.js";
import { element, tell } from "./dom.js";
import { store } from "./state.js";

const TICKET = /^#ticket=([\w-]{16,64})$/;
let dialog = null;
let wasClosed = false;

/** Change the ticket in the address, if the tray has put one there, for the token. It leaves the address at once. */
export async function redeem() {
    const found = TICKET.exec(location.hash);
    if (!found) return;
    history.replaceState(null, "", "/");
    try {
        keep((await call("POST", "/api/app/token", { ticket: found[1] })).token);
    } catch {
        // It was used, or is too old: the page asks for the token like any other.
    }
}

/** Ask for the token, if that is not being done. `once`: unless the user has closed the question before. */
export function askForToken(problem, { once = false } = {}) {
    if (dialog || (once && wasClosed)) return;
    const field = element("input", {
        type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true,
        "aria-describedby": "token-help",
    });
    const wrong = element("p", { class: "problem", role: "status", hidden: true });
    const form = element("form", { method: "dialog" },
        element("h2", { id: "token-title" }, "This sidecar asks for its token"),
        element("p", { id: "token-help" },
            "“Open dashboard” in the tray’s menu and “aura-ollama open” bring it along. By hand: it is the content of the "
            + "file run/token in the AuraData folder."),
        element("label", { for: "token" }, "Token"),
        field,
        wrong,
        element("div", { class: "actions" },
            element("button", { type: "submit" }, "Use this token"),
            element("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
    dialog = element("dialog", { "aria-labelledby": "token-title" }, form);
    tell(wrong, problem?.code === "token_required" ? "" : problem?.words);
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        keep(field.value.trim());
        try {
            await call("GET", "/api/ollama/status");
        } catch (error) {
            keep(null);
            const words = error instanceof Problem && error.asksForToken ? "That is not its token." : error.words;
            tell(wrong, error.code === "too_many_failures" ? error.words : words);
            field.select();
            return;
        }
        dialog.close();
        store.set("token", true);
    });
    dialog.addEventListener("close", () => {
        wasClosed = true;
        dialog.remove();
        dialog = null;
    });
    document.body.append(dialog);
    dialog.showModal();
}
