// Wires the page: what the sidecar tells goes into the store, and each module shows its part of it.

import { UNREACHABLE, call, onRefused } from "./api.js";
import { element, tell, write } from "./dom.js";
import { showInstances } from "./instances.js";
import { showJobs } from "./jobs.js";
import { logView } from "./log.js";
import { showModels } from "./models.js";
import { plots } from "./plots.js";
import { showSettings } from "./settings.js";
import { showStatus } from "./status.js";
import { store } from "./state.js";
import { comeBack, openStream } from "./stream.js";
import { askForToken, redeem } from "./token.js";

const INSTANCE = "default";
const EVENTS = "/api/ollama/events?types=status,models,job,settings,metrics";
const LOG = "/api/ollama/logs/stream";
const LOST = "The sidecar does not answer. This page goes on by itself once it does.";
// Events come in bursts; one look at what they are about is enough for all of them.
const SETTLE_MS = 100;

const section = (name) => document.querySelector(`#${name} .body`);

/**
 * A function that has the store know what `path` answers, one look at a time, and once more if asked meanwhile. What
 * goes wrong is told at the top of the section `place`, but for what the banner tells for all of them.
 */
function looker(key, path, place) {
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    document.querySelector(`#${place} > h2`).after(problem);
    let looking = false;
    let again = false;
    return async function look() {
        again = true;
        if (looking) return;
        looking = true;
        try {
            while (again) {
                await new Promise((resolve) => { setTimeout(resolve, SETTLE_MS); });
                again = false;
                store.set(key, await call("GET", path));
                tell(problem, "");
            }
        } catch (error) {
            const isForAll = error.code === UNREACHABLE.code || error.asksForToken;
            tell(problem, isForAll ? "" : error.words);
        } finally {
            looking = false;
        }
    };
}

const look = {
    models: looker("models", "/api/ollama/models", "models"),
    loaded: looker("loaded", "/api/ollama/models/loaded", "models"),
    recommended: looker("recommended", "/api/ollama/models/recommended", "models"),
    jobs: looker("jobs", "/api/ollama/jobs", "models"),
    instances: looker("instances", "/api/ollama/instances", "instances"),
    settings: looker("settings", "/api/ollama/settings", "settings"),
    metrics: looker("metrics", "/api/ollama/metrics", "plots"),
    sidecar: looker("sidecar", "/healthz", "status"),
};

function takeEvents(charts) {
    return (name, data) => {
        const event = JSON.parse(data);
        switch (name) {
            // Another run of the sidecar, or the same one after a while in which a look may have failed.
            case "hello":
            case "gap":
                for (const one of Object.values(look)) one();
                break;
            case "status":
                if (event.instance === INSTANCE) store.set("status", event);
                look.instances();
                look.models();
                look.loaded();
                break;
            case "models":
                look.models();
                look.loaded();
                break;
            case "job":
                store.set("job", event.job);
                break;
            case "settings":
                look.settings();
                break;
            case "metrics":
                if (event.instance === INSTANCE) charts.sample(event);
                break;
        }
    };
}

/** Tell in the banner whether the sidecar is there. Nothing is told while it is. */
function showConnection(state, problem) {
    const banner = document.querySelector("#connection");
    if (store.get("connection") !== state) store.set("connection", state);
    const words = { open: "", lost: LOST, refused: problem?.words }[state];
    // Each attempt to come back ends here; a screen reader is to tell it once.
    if ((banner.querySelector("p")?.textContent ?? "") === words) return;
    const enter = element("button", { type: "button", onclick: () => askForToken(problem) }, "Enter the token…");
    const told = words ? [element("p", { class: "problem" }, words)] : [];
    banner.replaceChildren(...told, ...(problem?.asksForToken ? [enter] : []));
}

/** Read the log only while it is in view: a browser has few connections for one server. */
function showLog() {
    const log = logView(section("log"), openStream);
    new IntersectionObserver((changes) => {
        if (changes.at(-1).isIntersecting) log.show(LOG);
        else log.hide();
    }, { rootMargin: "200px" }).observe(document.querySelector("#log"));
}

async function begin() {
    await redeem();
    showStatus(section("status"));
    showJobs(section("models"));
    showModels(section("models"), look);
    showInstances(section("instances"));
    showSettings(section("settings"), look.settings);
    const charts = plots(section("plots"));
    store.on("connection", (state) => charts.follow(state === "open"));
    store.on("metrics", (body) => charts.history(body, INSTANCE));
    store.on("sidecar", (body) => write(document.querySelector("#version"), body.version));
    onRefused((problem) => askForToken(problem, { once: true }));
    openStream(EVENTS, { onEvent: takeEvents(charts), onState: showConnection });
    store.on("token", comeBack);
    store.on("token", () => { for (const one of Object.values(look)) one(); });
    showLog();
}

begin();
