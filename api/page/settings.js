// The settings that may be changed here. Which these are, and what each accepts, is the API's to tell.

import { call, isHeld } from "./api.js";
import { allow, announce, button, element, keyed, set, tell, write } from "./dom.js";
import { store } from "./state.js";
import { askForToken } from "./token.js";

const PATH = "/api/ollama/settings";
const LABELS = {
    ollamaModel: "Aura’s model",
    ollamaGpuEnabled: "Use the graphics processor",
    ollamaNumGpu: "Layers on the graphics processor",
    ollamaNumCtx: "Context, in tokens",
    ollamaGpuAutoDetect: "Choose what suits the graphics processor",
    readyTimeout: "Seconds for Ollama to answer",
    stopTimeout: "Seconds for Ollama to end",
    startOnLaunch: "Start Ollama with this program",
    stopOnQuit: "Quit stops Ollama",
    stopOnTerminate: "The end of the session stops Ollama",
    restartOnCrash: "Start a crashed Ollama again",
    logSegmentBytes: "Bytes of one log file",
    logSegmentsPerStart: "Log files of one start",
    logStarts: "Starts whose log is kept",
    logTotalBytes: "Bytes of all logs",
};
const KINDS = ["text", "switch", "whole", "number"];

/** Fill the section of settings. `look` has the store know them anew. */
export function showSettings(host, look) {
    const wrong = element("p", { class: "problem", hidden: true });
    const list = element("ul", { class: "rows" });
    const others = element("p", { class: "detail", hidden: true });
    const enter = button("Enter the token…", () => askForToken(null));
    const more = element("div", { hidden: true }, others, enter);
    host.append(wrong, list, more);

    function show(body) {
        const hasToken = isHeld();
        const shown = body.settings.filter((one) => KINDS.includes(one.kind) && (hasToken || !one.needsToken));
        const title = document.querySelector("#settings-title");
        tell(wrong, body.problem ? [body.problem.message, body.problem.action].filter(Boolean).join(" ") : "");
        keyed(list, shown, (one) => one.key, (one) => makeRow(one, look), updateRow, title);
        const hidden = body.settings.filter((one) => !shown.includes(one)).map((one) => one.key);
        tell(others, hidden.length ? `${hidden.join(", ")}: in the files ollama-sidecar.json and settings.json`
            + (hasToken ? "." : ", or here with the token.") : "");
        more.hidden = !hidden.length;
        enter.hidden = hasToken;
    }

    store.on("settings", show);
}

function makeRow(one, look) {
    const id = `setting-${one.key}`;
    const isSwitch = one.kind === "switch";
    const isNumber = ["whole", "number"].includes(one.kind);
    const field = element("input", {
        id,
        // A field of type "number" has no value at all while what is in it is no number; the API is to judge that.
        type: isSwitch ? "checkbox" : "text",
        inputmode: one.kind === "whole" ? "numeric" : isNumber ? "decimal" : null,
        spellcheck: "false",
        autocomplete: "off",
        "aria-describedby": `${id}-told ${id}-wrong`,
    });
    const told = element("p", { id: `${id}-told`, class: "detail" });
    const problem = element("p", { id: `${id}-wrong`, class: "problem", role: "status", hidden: true });
    const row = element("li", { class: "row setting" });

    async function change(value) {
        tell(problem, "");
        try {
            const body = await call("PUT", PATH, { changes: { [one.key]: value } });
            // What has been typed meanwhile is not saved.
            if (value === null || isSwitch || entered() === value) row.isDirty = false;
            store.set("settings", body);
            announce(`${one.key} is saved.`);
        } catch (error) {
            // A switch shows what is in force, whatever was clicked.
            if (isSwitch) row.isDirty = false;
            look();
            if (!isSwitch) set(field, "aria-invalid", "true");
            tell(problem, error.words);
        }
    }

    function entered() {
        const text = field.value.trim();
        if (isSwitch) return field.checked;
        return isNumber && text !== "" && Number.isFinite(Number(text)) ? Number(text) : text || null;
    }

    const save = button("Save", () => change(entered()), { "aria-label": `Save ${one.key}` });
    const reset = button("Default", () => change(null), { "aria-label": `Set ${one.key} to its default` });
    field.addEventListener("input", () => {
        row.isDirty = true;
        if (isSwitch) change(field.checked);
        else allow(save, true);
    });
    field.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && row.isDirty && !isSwitch) change(entered());
    });
    save.hidden = isSwitch;
    row.append(
        element("div", { class: "what" },
            element("label", { for: id }, LABELS[one.key] ?? one.key), told),
        element("div", { class: "actions" }, field, save, reset),
        problem,
    );
    row.parts = { field, told, save, reset, isSwitch };
    return row;
}

function updateRow(row, one) {
    const { field, told, save, reset, isSwitch } = row.parts;
    write(told, `${one.key}: ${one.expected}. Default: ${one.default === null ? "none" : String(one.default)}.`);
    const isDefault = JSON.stringify(one.value) === JSON.stringify(one.default);
    allow(reset, !isDefault, "It is the default.");
    if (row.isDirty) return;
    if (isSwitch) field.checked = one.value === true;
    else if (field.value !== String(one.value ?? "")) field.value = one.value ?? "";
    allow(save, false, "Nothing is changed.");
    set(field, "aria-invalid", null);
}
