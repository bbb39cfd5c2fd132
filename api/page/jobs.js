// Downloads of models: the form that begins one, and those under way.

import { call, modelPath } from "./api.js";
import { allow, announce, button, element, keyed, tell, write } from "./dom.js";
import { obstacle, store } from "./state.js";

const UNDER_WAY = ["queued", "running"];
const HEADINGS = { done: "Downloaded", failed: "The download failed", cancelled: "The download was cancelled" };

/** Add the form and the list of downloads to the section of models. */
export function showJobs(host) {
    const jobs = new Map();
    const dismissed = new Set();
    // What had ended before this page was opened is no news.
    const followed = new Set();
    const list = element("ul", { class: "rows", "aria-label": "Downloads" });
    const { form, field } = pullForm();
    host.append(form, list);

    function show() {
        const shown = [...jobs.values()].filter((job) => followed.has(job.id) && !dismissed.has(job.id));
        keyed(list, shown, (job) => job.id, (job) => makeRow(job, dismissed, show), updateRow, field);
        list.hidden = shown.length === 0;
    }

    function note(job) {
        const before = jobs.get(job.id);
        jobs.set(job.id, job);
        if (UNDER_WAY.includes(job.state)) followed.add(job.id);
        else if (before && UNDER_WAY.includes(before.state)) announce(`${job.model}: ${HEADINGS[job.state]}.`);
    }

    store.on("jobs", (body) => {
        const there = new Set(body.jobs.map((job) => job.id));
        for (const id of jobs.keys()) if (!there.has(id)) jobs.delete(id);
        body.jobs.forEach(note);
        show();
    });
    store.on("job", (job) => {
        note(job);
        show();
    });
}

function pullForm() {
    const field = element("input", {
        id: "pull-name", list: "pull-names", required: true, autocomplete: "off", autocapitalize: "none",
        spellcheck: "false", placeholder: "llama3.2:3b", maxlength: 350, "aria-describedby": "pull-why",
    });
    const names = element("datalist", { id: "pull-names" });
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const why = element("p", { id: "pull-why", class: "detail" });
    const submit = button("Pull", () => form.requestSubmit());
    const form = element("form", { class: "pull", novalidate: true },
        element("label", { for: "pull-name" }, "Pull a model"),
        element("div", { class: "line" }, field, names, submit),
        why,
        problem);
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const name = field.value.trim();
        if (submit.getAttribute("aria-disabled") === "true") return;
        if (!name) {
            tell(problem, "Give the name of a model, such as llama3.2:3b.");
            field.focus();
            return;
        }
        if (await pull(name, problem)) field.value = "";
    });
    const hint = "A name from ollama.com/library, or hf.co/USER/MODEL.";
    store.on(["status", "connection"], () => {
        const inTheWay = obstacle();
        allow(submit, inTheWay === null, inTheWay);
        write(why, inTheWay === null ? hint : "Models can be pulled while Ollama runs.");
    });
    store.on("recommended", (body) => {
        names.replaceChildren(...body.models.map((model) =>
            element("option", { value: model.name }, `${model.displayName}, ${model.size}`)));
    });
    return { form, field };
}

/** Begin a download; returns whether it was. What goes wrong is told in `problem`. */
export async function pull(name, problem) {
    tell(problem, "");
    try {
        const job = await call("POST", modelPath(name, "/pull"), undefined, { Prefer: "respond-async" });
        // One that had nothing to download has ended already, and is no job.
        if (job.state) store.set("job", job);
        else announce(job.message);
        return true;
    } catch (error) {
        tell(problem, error.words);
        return false;
    }
}

function makeRow(job, dismissed, show) {
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const bar = element("progress", { max: 100, "aria-label": `Download of ${job.model}` });
    const cancel = button("Cancel", async () => {
        tell(problem, "");
        try {
            store.set("job", await call("DELETE", `/api/ollama/jobs/${job.id}`));
        } catch (error) {
            tell(problem, error.words);
        }
    }, { "aria-label": `Cancel the download of ${job.model}` });
    const hide = button("Hide", () => {
        dismissed.add(job.id);
        show();
    }, { "aria-label": `Hide the download of ${job.model}`, hidden: true });
    const row = element("li", { class: "row" },
        element("div", { class: "what" }, element("bdi", { class: "name" }, job.model), element("p", { class: "detail" })),
        bar,
        element("div", { class: "actions" }, cancel, hide),
        problem);
    row.parts = { bar, cancel, hide, told: row.querySelector(".detail") };
    return row;
}

function updateRow(row, job) {
    const { bar, cancel, hide, told } = row.parts;
    const isUnderWay = UNDER_WAY.includes(job.state);
    if (job.state === "queued" || !job.total) bar.removeAttribute("value");
    else bar.value = job.percent;
    bar.hidden = !isUnderWay;
    const heading = HEADINGS[job.state];
    write(told, heading ? (job.state === "failed" ? `${heading}: ${job.message}` : `${heading}.`) : job.message);
    told.classList.toggle("bad", job.state === "failed");
    const hadFocus = document.activeElement === cancel;
    hide.hidden = isUnderWay;
    if (!isUnderWay && hadFocus) hide.focus();
    cancel.hidden = !isUnderWay;
}
