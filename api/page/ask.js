// One question to one model, to see that it answers.

import { call, modelPath } from "./api.js";
import { element, tell, write } from "./dom.js";

// The sidecar gives a model 120 s, its load included.
const SECONDS = 130;

/** Show the box in which a model is asked. It is asked once the form is sent, and not before. */
export function askAbout(model) {
    const field = element("textarea", { id: "question", rows: 3, maxlength: 4000, required: true, autofocus: true },
        "Say hello in one sentence.");
    const problem = element("p", { class: "problem", role: "status", hidden: true });
    const answer = element("p", { class: "answer", role: "status" });
    const send = element("button", { type: "submit" }, "Ask");
    const dialog = element("dialog", { "aria-labelledby": "ask-title" },
        element("form", {},
            element("h2", { id: "ask-title" }, "Ask ", element("bdi", {}, model)),
            element("label", { for: "question" }, "Question"),
            field,
            answer,
            problem,
            element("div", { class: "actions" }, send,
                element("button", { type: "button", onclick: () => dialog.close() }, "Close"))));
    dialog.querySelector("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        if (send.hasAttribute("aria-busy")) return;
        tell(problem, "");
        write(answer, "Waiting for the answer…");
        send.setAttribute("aria-busy", "true");
        try {
            const told = await call("POST", modelPath(model, "/ask"), { question: field.value }, {}, SECONDS);
            write(answer, told.answer);
        } catch (error) {
            write(answer, "");
            tell(problem, error.words);
        } finally {
            send.removeAttribute("aria-busy");
        }
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
}
