// Wires the page: what the sidecar tells goes into the store, and each module shows its part of it.

import { call, onRefused } from "./api.js";
import { element, write } from "./dom.js";
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

/** A function that has the store know what `path` answers, one look at a time, and once more if asked meanwhile. */
function looker(key, path) {
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
            }
        } catch (problem) {
            store.set(`${key} problem`, problem);
        } finally {
            looking = false;
        }
    };
}

const look = {
    models: looker("models", "/api/ollama/models"),
    loaded: looker("loaded", "/api/ollama/models/loaded"),
    recommended: looker("recommended", "/api/ollama/models/recommended"),
    jobs: looker("jobs", "/api/ollama/jobs"),
    instances: looker("instances", "/api/ollama/instances"),
    settings: looker("settings", "/api/ollama/settings"),
    metrics: looker("metrics", "/api/ollama/metrics"),
    sidecar: looker("sidecar", "/healthz"),
};

function takeEvents(charts) {
    let epoch = null;
    return (name, data) => {
        const event = JSON.parse(data);
        switch (name) {
            case "hello":
                // Another run of the sidecar: nothing that was known need hold.
                if (event.epoch !== epoch) for (const one of Object.values(look)) one();
                epoch = event.epoch;
                break;
            case "gap":
                for (const one of Object.values(look)) one();
                break;
            case "status":
                if (event.instance === INSTANCE) store.set("status", event);
                look.instances();
                look.models();
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
    store.set("connection", state);
    if (state === "open") banner.replaceChildren();
    else if (state === "lost") banner.replaceChildren(element("p", { class: "problem" }, LOST));
    else {
        const enter = element("button", { type: "button", onclick: () => askForToken(problem) }, "Enter the token…");
        if (!banner.querySelector("button")) {
            banner.replaceChildren(element("p", { class: "problem" }, problem.words), problem.asksForToken ? enter : "");
        }
    }
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
    store.on("metrics", (body) => charts.history(body, INSTANCE));
    store.on("sidecar", (body) => write(document.querySelector("#version"), body.version));
    onRefused((problem) => askForToken(problem, { once: true }));
    openStream(EVENTS, { onEvent: takeEvents(charts), onState: showConnection });
    store.on("token", comeBack);
    store.on("token", () => { for (const one of Object.values(look)) one(); });
    showLog();
}

begin();
