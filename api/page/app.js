// Wires the page: what the sidecar tells goes into the store, and each module shows its part of it.

import { call } from "./api.js";
import { logView } from "./log.js";
import { plots } from "./plots.js";
import { showStatus } from "./status.js";
import { store } from "./state.js";
import { openStream } from "./stream.js";
import { tell } from "./dom.js";

const TYPES = "status,models,job,settings,log,metrics";
const INSTANCE = "default";

const body = (section) => document.querySelector(`#${section} .body`);
const connection = document.querySelector("#connection");

async function begin() {
    showStatus(body("status"));
    const charts = plots(body("plots"));
    const log = logView(body("log"), openStream);
    let epoch = null;

    async function reload() {
        await Promise.allSettled([
            call("GET", "/api/ollama/metrics").then((metrics) => charts.history(metrics, INSTANCE)),
        ]);
    }

    openStream(`/api/ollama/events?types=${TYPES}`, {
        onEvent(name, data) {
            const event = JSON.parse(data);
            if (name === "hello" && event.epoch !== epoch) {
                epoch = event.epoch;
                reload();
            }
            if (name === "status" && event.instance === INSTANCE) store.set("status", event);
            if (name === "metrics" && event.instance === INSTANCE) charts.sample(event);
        },
        onState(state, problem) {
            store.set("connection", state);
            tell(connection, { lost: "The sidecar does not answer. This page comes back by itself once it does." }[state]
                ?? problem?.words);
        },
    });
    log.show(INSTANCE);
}

begin();
