// Every Ollama that the sidecar looks after, with what is known of each.

import { element, keyed, set, tell, write } from "./dom.js";
import { absence, store } from "./state.js";
import { permit, wishes } from "./status.js";

const FACTS = [
    ["Address", "baseUrl"],
    ["Version", "version"],
    ["Process", "pid"],
    ["Executable", "installPath"],
    ["Held by", "owner"],
    ["Restarts after crashes", "restarts"],
];

/** Fill the section of instances. */
export function showInstances(host) {
    const list = element("ul", { class: "rows" });
    host.append(list);
    function show() {
        const body = store.get("instances");
        const instances = body ? body.instances : [];
        keyed(list, instances, (one) => one.id, makeRow, (row, one) => {
            // The one that all else on this page is about has its buttons at the top.
            updateRow(row, one, instances.length > 1);
        }, document.querySelector("#instances-title"));
    }
    store.on(["instances", "connection"], show);
}

function makeRow(one) {
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const buttons = wishes(`/api/ollama/instances/${encodeURIComponent(one.id)}`, problem);
    for (const [wish, each] of Object.entries(buttons)) set(each, "aria-label", `${wish} the instance ${one.id}`);
    const facts = element("dl", {});
    const values = FACTS.map(([label]) => {
        const value = element("dd", {});
        facts.append(element("div", {}, element("dt", {}, label), value));
        return value;
    });
    const headline = element("p", { class: "detail" });
    const actions = element("div", { class: "actions" }, ...Object.values(buttons));
    const row = element("li", { class: "row" },
        element("div", { class: "what" }, element("bdi", { class: "name" }, one.id), headline), actions, facts, problem);
    row.parts = { buttons, values, headline, actions };
    return row;
}

function updateRow(row, one, hasButtons) {
    const { buttons, values, headline, actions } = row.parts;
    const away = absence();
    write(headline, away ?? one.headline);
    actions.hidden = !hasButtons;
    permit(buttons, away ? null : one);
    FACTS.forEach(([, name], index) => {
        const value = away ? null : one[name];
        tell(values[index], value === null || value === undefined ? "" : String(value));
        values[index].parentElement.hidden = values[index].hidden;
    });
}
