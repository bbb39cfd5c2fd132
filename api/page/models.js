// The models: those that are recommended and not there yet, those that are installed, and what can be done with each.

import { call, modelPath } from "./api.js";
import { askAbout } from "./ask.js";
import { allow, announce, button, element, keyed, set, tell, write } from "./dom.js";
import { pull } from "./jobs.js";
import { obstacle, store } from "./state.js";
import { agoText } from "./words.js";

/** Add the lists to the section of models. `look` has functions that have the store know anew. */
export function showModels(host, look) {
    const title = document.querySelector("#models-title");
    const trouble = element("p", { class: "detail", hidden: true });
    const offered = element("ul", { class: "offers" });
    const offers = element("div", { hidden: true },
        element("h3", {}, "Recommended"), offered);
    const list = element("ul", { class: "rows", "aria-label": "Installed models" });
    host.append(offers, trouble, list);

    function show() {
        const body = store.get("models");
        if (!body) return;
        const loaded = new Map((store.get("loaded")?.models ?? []).map((model) => [model.name, model]));
        const inTheWay = obstacle();
        const isUp = inTheWay === null;
        tell(trouble, body.error && isUp ? body.error : body.models.length ? "" : isUp
            ? "None is installed yet. Pull one: the smallest of the recommended is a good first one."
            : "Which are installed is known while Ollama runs.");
        const models = [...body.models].sort((one, other) => loaded.has(other.name) - loaded.has(one.name));
        keyed(list, models, (model) => model.name, (model) => makeRow(model, look), (row, model) => {
            updateRow(row, model, isUp ? loaded.get(model.name) : undefined, inTheWay);
        }, title);
        const missing = (store.get("recommended")?.models ?? []).filter((model) =>
            !body.models.some((there) => there.name === model.name));
        keyed(offered, missing, (model) => model.name, makeOffer, (row) => {
            allow(row.querySelector("button"), isUp, inTheWay);
        }, title);
        offers.hidden = missing.length === 0;
    }

    store.on(["models", "loaded", "recommended", "status", "connection"], show);
    // The times in the rows go on.
    setInterval(() => { if (!document.hidden) show(); }, 30_000);
}

function makeOffer(model) {
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    return element("li", {},
        button(`Pull ${model.displayName}`, () => pull(model.name, problem)),
        element("span", { class: "detail" }, `${model.size}. ${model.description}`),
        problem);
}

function makeRow(model, look) {
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const note = element("p", { class: "detail", role: "status", hidden: true });
    const row = element("li", { class: "row" });

    /** Have the API do something with the model, tell what comes of it, and look at what there is then. */
    async function act(made, words, method, path) {
        tell(problem, "");
        tell(note, words);
        made.setAttribute("aria-busy", "true");
        try {
            const answer = await call(method, path);
            tell(note, answer.success ? "" : answer.message);
            if (answer.success) announce(answer.message);
            return answer.success;
        } catch (error) {
            tell(note, "");
            tell(problem, error.words);
            return false;
        } finally {
            made.removeAttribute("aria-busy");
            look.loaded();
            look.models();
        }
    }

    const memory = button("Load", (made) => (row.isLoaded
        ? act(made, "Asked to unload it…", "POST", modelPath(model.name, "/unload"))
        : act(made, "Asked to load it…", "POST", modelPath(model.name, "/load"))));
    const ask = button("Ask…", () => askAbout(model.name), { "aria-label": `Ask ${model.name} something` });
    const remove = button("Delete…", async (made) => {
        if (!await confirmDelete(row.model, row.isLoaded)) return;
        const path = modelPath(model.name, row.isLoaded ? "?force=true" : "");
        await act(made, "Asked to delete it…", "DELETE", path);
    }, { "aria-label": `Delete ${model.name}` });
    const told = element("p", { class: "detail" });
    const loaded = element("p", { class: "loaded", hidden: true });
    row.append(
        element("div", { class: "what" }, element("bdi", { class: "name" }, model.name), told, loaded),
        element("div", { class: "actions" }, memory, ask, remove),
        note,
        problem,
    );
    row.parts = { memory, ask, remove, told, loaded };
    return row;
}

function updateRow(row, model, loaded, inTheWay) {
    const { memory, ask, remove, told, loaded: inMemory } = row.parts;
    row.model = model;
    row.isLoaded = Boolean(loaded);
    const changed = agoText(model.modifiedAt);
    write(told, [model.size, model.family, model.parameterSize, model.quantizationLevel, changed && `changed ${changed}`]
        .filter(Boolean).join(" · "));
    tell(inMemory, loaded && loadedText(loaded));
    write(memory, loaded ? "Unload" : "Load");
    set(memory, "aria-label", `${loaded ? "Unload" : "Load"} ${model.name}`);
    for (const each of [memory, ask, remove]) allow(each, inTheWay === null, inTheWay);
}

function loadedText(loaded) {
    const until = agoText(loaded.expiresAt ?? "");
    return [
        `In memory: ${loaded.size}`,
        loaded.sizeVramBytes ? `${loaded.sizeVram} of it on the graphics processor` : "none of it on a graphics processor",
        // "in 292 years" is Ollama's way to say: for ever.
        until.startsWith("in ") && !/\d{4,} days/.test(until) ? `unloaded ${until} if it is not used` : "",
    ].filter(Boolean).join(", ");
}

/** Ask whether that model is to be deleted. */
function confirmDelete(model, isLoaded) {
    return new Promise((resolve) => {
        const dialog = element("dialog", { "aria-labelledby": "delete-title", "aria-describedby": "delete-told" },
            element("form", { method: "dialog" },
                element("h2", { id: "delete-title" }, "Delete ", element("bdi", {}, model.name), "?"),
                element("p", { id: "delete-told" }, `That frees up to ${model.size}. To have it again, it has to be pulled again.`
                    + (isLoaded ? " It is in memory, and is unloaded first." : "")),
                element("div", { class: "actions" },
                    element("button", { value: "cancel", autofocus: true }, "Keep it"),
                    element("button", { value: "delete", class: "danger" }, "Delete it"))));
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog.returnValue === "delete");
        });
        document.body.append(dialog);
        dialog.showModal();
    });
}
