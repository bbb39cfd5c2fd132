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
const LATER = {
    ollama_start: " Takes effect when Ollama is started anew.",
    sidecar_start: " Takes effect when the sidecar is started anew.",
};
const LINES = { list: "One entry per line.", object: "As JSON." };

/** Fill the section of settings. `look` has the store know them anew. */
export function showSettings(host, look) {
    const wrong = element("p", { class: "problem", hidden: true });
    const list = element("ul", { class: "rows" });
    const others = element("p", { class: "detail" });
    const enter = button("Enter the token…", () => askForToken(null));
    const more = element("div", { hidden: true }, others, enter);
    host.append(wrong, list, more);

    function show(body) {
        const hasToken = isHeld();
        const shown = body.settings.filter((one) => hasToken || !one.needsToken);
        const title = document.querySelector("#settings-title");
        tell(wrong, body.problem ? [body.problem.message, body.problem.action].filter(Boolean).join(" ") : "");
        keyed(list, shown, (one) => one.key, (one) => makeRow(one, look), updateRow, title);
        const hidden = body.settings.filter((one) => !shown.includes(one)).map((one) => one.key);
        write(others, `${hidden.join(", ")}: in the files ollama-sidecar.json and settings.json, or here with the token.`);
        more.hidden = !hidden.length;
    }

    store.on("settings", show);
}

function makeRow(one, look) {
    const id = `setting-${one.key}`;
    const isSwitch = one.kind === "switch";
    const isNumber = ["whole", "number"].includes(one.kind);
    const hasLines = one.kind in LINES;
    const field = element(hasLines ? "textarea" : "input", {
        id,
        // A field of type "number" has no value at all while what is in it is no number; the API is to judge that.
        type: hasLines ? null : isSwitch ? "checkbox" : "text",
        inputmode: one.kind === "whole" ? "numeric" : isNumber ? "decimal" : null,
        rows: hasLines ? 3 : null,
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
            const text = field.value;
            const body = await call("PUT", PATH, { changes: { [one.key]: value } });
            // What has been typed meanwhile is not saved.
            if (value === null || isSwitch || field.value === text) row.isDirty = false;
            store.set("settings", body);
            announce(`${one.key} is saved.${LATER[one.takesEffect] ?? ""}`);
        } catch (error) {
            // A switch shows what is in force, whatever was clicked.
            if (isSwitch) row.isDirty = false;
            look();
            if (!isSwitch) set(field, "aria-invalid", "true");
            tell(problem, error.words);
        }
    }

    /** What is in the field, as the API takes it. Throws a SyntaxError for what is no JSON and has to be. */
    function entered() {
        const text = field.value.trim();
        if (isSwitch) return field.checked;
        if (one.kind === "object" || (one.kind === "list" && text.startsWith("["))) return text ? JSON.parse(text) : null;
        if (one.kind === "list") return text.split("\n").map((line) => line.trim()).filter(Boolean);
        return isNumber && text !== "" && Number.isFinite(Number(text)) ? Number(text) : text || null;
    }

    function submit() {
        try {
            change(entered());
        } catch (error) {
            set(field, "aria-invalid", "true");
            tell(problem, `\`${one.key}\` is no JSON (${error.message}), but must be ${one.expected}.`);
        }
    }

    const save = button("Save", submit, { "aria-label": `Save ${one.key}` });
    const reset = button("Default", () => change(null), { "aria-label": `Set ${one.key} to its default` });
    field.addEventListener("input", () => {
        row.isDirty = true;
        if (isSwitch) change(field.checked);
        else allow(save, true);
    });
    field.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && row.isDirty && !isSwitch && !hasLines) submit();
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

/** A value as it stands in its field: a list as lines, an object as JSON, and nothing for what is empty. */
function textOf(value) {
    if (value === null || typeof value !== "object") return String(value ?? "");
    if (!Object.keys(value).length) return "";
    const isPlain = Array.isArray(value) && value.every((each) => typeof each === "string");
    return isPlain ? value.join("\n") : JSON.stringify(value, null, 2);
}

function updateRow(row, one) {
    const { field, told, save, reset, isSwitch } = row.parts;
    const standard = textOf(one.default) || "none";
    const hint = LINES[one.kind] ? ` ${LINES[one.kind]}` : "";
    write(told, `${one.key}: ${one.expected}.${hint} Default: ${standard}.${LATER[one.takesEffect] ?? ""}`);
    const isDefault = JSON.stringify(one.value) === JSON.stringify(one.default);
    allow(reset, !isDefault, "It is the default.");
    if (row.isDirty) return;
    if (isSwitch) field.checked = one.value === true;
    else if (field.value !== textOf(one.value)) field.value = textOf(one.value);
    allow(save, false, "Nothing is changed.");
    set(field, "aria-invalid", null);
}
