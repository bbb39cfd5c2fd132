// The state of Ollama, and what can be asked of it.

import { call } from "./api.js";
import { allow, button, element, tell, write } from "./dom.js";
import { absence, store } from "./state.js";

const GET_OLLAMA = "https://ollama.com/download";
const BUSY = ["unknown", "starting", "stopping", "backoff"];

/** Which of the tray's images fits a status. */
function lookOf(status) {
    if (BUSY.includes(status.state)) return "busy";
    if (["failed", "not_installed"].includes(status.state)) return "failed";
    if (!status.running) return "down";
    if (status.error || (status.detail && status.state === "running")) return "trouble";
    return status.state === "external" ? "external" : "up";
}

/** For each button why it does nothing at present, null if it does. */
export function obstacles(status) {
    const isUp = ["running", "external"].includes(status.state);
    const startless = {
        unknown: "It is not known yet whether Ollama runs.",
        not_installed: status.settingsError ? "The settings cannot be used." : "Ollama is not installed.",
        starting: "Ollama is starting already.",
        running: "Ollama is running already.",
        external: "Ollama is running already.",
    };
    const stopless = status.state === "external" ? "This Ollama was not started here." : "Ollama is not running.";
    return {
        start: startless[status.state] ?? stoppedFor(status),
        stop: ["running", "starting", "backoff"].includes(status.state) ? null : stopless,
        restart: status.state === "running" ? null : isUp ? stopless : "Ollama is not running.",
    };
}

/** Why a stopped one cannot be started. */
function stoppedFor(status) {
    if (status.state !== "stopped") return null;
    if (!status.startable) return "It can only be started over there.";
    return status.owner ? "Its port is held." : null;
}

/** Fill the section of the state. */
export function showStatus(host) {
    const look = element("img", { src: "/page/busy.png", alt: "", width: 48, height: 48 });
    const headline = element("p", { class: "headline", role: "status" }, "Connecting to the sidecar…");
    const detail = element("p", { class: "detail", hidden: true });
    const action = element("p", { class: "detail", hidden: true });
    const wrong = element("p", { class: "problem", hidden: true });
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const get = element("a", { class: "button", href: GET_OLLAMA, rel: "noreferrer", target: "_blank", hidden: true },
        "Get Ollama…");
    const buttons = wishes("/api/ollama", problem);
    const actions = element("div", { class: "actions" }, ...Object.values(buttons), get);
    host.append(
        element("div", { class: "state" }, look, element("div", {}, headline, detail, action, wrong)),
        actions,
        problem,
    );
    for (const each of Object.values(buttons)) allow(each, false, absence());
    store.on(["status", "connection"], () => {
        const status = store.get("status");
        const isThere = absence() === null;
        write(headline, isThere && status ? status.headline : store.get("connection") === "refused" ? absence() : "Connecting to the sidecar…");
        document.title = `${headline.textContent} – Aura Ollama`;
        permit(buttons, isThere ? status : null);
        if (!status) return;
        const image = `/page/${isThere ? lookOf(status) : "busy"}.png`;
        if (look.getAttribute("src") !== image) {
            look.src = image;
            document.querySelector("#favicon").href = image;
        }
        tell(detail, isThere && status.detail);
        tell(action, isThere && status.action);
        const isTold = status.settingsError === status.detail;
        tell(wrong, isThere && !isTold && status.settingsError && `Settings: ${status.settingsError}`);
        get.hidden = !isThere || status.state !== "not_installed" || Boolean(status.settingsError);
    });
}

/** The buttons that start, stop and restart an Ollama; what goes wrong is told in `problem`. */
export function wishes(path, problem) {
    const made = {};
    for (const [wish, label] of [["start", "Start Ollama"], ["stop", "Stop Ollama"], ["restart", "Restart Ollama"]]) {
        made[wish] = button(label, async () => {
            tell(problem, "");
            try {
                await call("POST", `${path}/${wish}`);
            } catch (error) {
                tell(problem, error.words);
            }
        });
    }
    return made;
}

/** Let those buttons act that can, by a status; null if there is none. Their words are the tray's. */
export function permit(buttons, status) {
    const why = status && obstacles(status);
    for (const [wish, each] of Object.entries(buttons)) {
        allow(each, Boolean(why) && why[wish] === null, why ? why[wish] : absence());
    }
    const isBack = status?.state === "backoff";
    write(buttons.start, isBack ? "Start Ollama now" : "Start Ollama");
    write(buttons.stop, isBack ? "Leave it stopped" : "Stop Ollama");
}
