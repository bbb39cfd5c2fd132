// The state of Ollama, and what can be asked of it.

import { call } from "./api.js";
import { allow, button, element, tell, write } from "./dom.js";
import { store } from "./state.js";

/** Fill the section of the state. */
export function showStatus(host) {
    const headline = element("p", { class: "headline", role: "status" }, "Connecting…");
    const detail = element("p", { class: "detail" });
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const act = (action) => button(action[0].toUpperCase() + action.slice(1), async () => {
        tell(problem, "");
        try {
            await call("POST", `/api/ollama/${action}`);
        } catch (error) {
            tell(problem, error.words);
        }
    });
    const [start, stop, restart] = ["start", "stop", "restart"].map(act);
    host.append(headline, detail, element("div", { class: "actions" }, start, stop, restart), problem);
    store.on("status", (status) => {
        write(headline, status.headline);
        tell(detail, [status.detail, status.action].filter(Boolean).join(" "));
        allow(start, ["stopped", "failed", "backoff", "not_installed"].includes(status.state));
        allow(stop, ["running", "starting", "backoff"].includes(status.state));
        allow(restart, status.state === "running");
    });
}
