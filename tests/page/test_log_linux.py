"""The log on the page: lines as they are written, each once, and however many without holding the page up."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.beds.browser import shown
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.page.bed import DEADLINE, button, make_sidecar

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A browser and an Ollama start, on two busy cores.
pytestmark = pytest.mark.timeout(90)
FLOOD = 10_000
PAUSED = 25_000
MOST_MARKS = 10_000
STALL_MILLISECONDS = 50.0
WITHIN_SECONDS = 1.0
# Notes the moment, Unix time, at which each line with `mark-N` is there.
NOTE_MARKS = """
globalThis.marks = {};
addEventListener("DOMContentLoaded", () => new MutationObserver((changes) => {
    const added = changes.flatMap((change) => [...change.addedNodes]);
    for (const node of added) {
        for (const [mark] of (node.textContent ?? "").matchAll(/mark-\\d+/g)) {
            marks[mark] ??= (performance.timeOrigin + performance.now()) / 1000;
            document.documentElement.dataset.mark = mark;
        }
    }
}).observe(document.body, { subtree: true, childList: true }));
"""
# Whether the row with that mark lies within the log's own window, wherever the page itself is scrolled to.
IS_IN_SIGHT = """(mark) => {
    const list = document.querySelector("[role=log]");
    const rows = [...list.querySelectorAll("div")].filter((one) => one.textContent.includes(mark));
    const row = rows.at(-1);
    const [seen, window] = [row?.getBoundingClientRect(), list.getBoundingClientRect()];
    return seen && seen.height > 0 && seen.top >= window.top && seen.bottom <= window.bottom;
}"""


def ask(sidecar: Sidecar, mark: str) -> None:
    """Have Ollama log a request with that mark in its path."""
    assert call("GET", f"{sidecar.ollama_url}/{mark}").status == 404


def log_of(sidecar: Sidecar) -> Path:
    """The file that its Ollama's log is written to."""
    return max((sidecar.root / "AuraData" / "logs" / "ollama").glob("*.log"))


def until_mark(page: Page, mark: str) -> None:
    """Return once the page has that line. Looks at one attribute, and not through the lines."""
    expect(page.locator("html")).to_have_attribute("data-mark", mark, timeout=DEADLINE)


def open_log(page: Page, sidecar: Sidecar) -> None:
    """Open the page with its log in view and under way."""
    page.add_init_script(NOTE_MARKS)
    page.goto(f"{sidecar.url}/")
    page.locator("#log").scroll_into_view_if_needed()
    expect(page.locator(".log-lines .log-chunk > div").first).to_be_attached()


def test_a_line_is_there_within_a_second(browser: Browser, running: Sidecar) -> None:
    """A machine that is busy with other things may delay one of them, and not each."""
    with shown(browser, "about:blank") as view:
        open_log(view.page, running)
        took = []
        for number in range(5):
            began = time.time()
            ask(running, f"mark-{number}")
            until_mark(view.page, f"mark-{number}")
            took.append(view.page.evaluate(f"marks['mark-{number}']") - began)
        assert min(took) < WITHIN_SECONDS, took


def test_search_filters_and_pause_choose_what_is_shown(browser: Browser, running: Sidecar) -> None:
    with shown(browser, "about:blank") as view:
        page = view.page
        open_log(page, running)
        lines, told = page.get_by_role("log"), page.locator(".log-told")
        ask(running, "mark-10")
        until_mark(page, "mark-10")
        page.get_by_label("Find in the log").fill("MARK-10")
        expect(told).to_have_text("1 line found.")
        expect(lines.locator("mark")).to_have_text("mark-10")
        expect(lines.get_by_text("Listening on")).to_have_count(0)
        page.get_by_label("Find in the log").fill("")
        expect(lines.get_by_text("Listening on").first).to_be_attached()
        for name, kind in (("Output", "out"), ("Errors", "err"), ("Sidecar", "sys")):
            page.get_by_role("checkbox", name=name).uncheck()
            expect(lines.locator(f".log-{kind}")).to_have_count(0)
            page.get_by_role("checkbox", name=name).check()
        button(page, "Pause").click()
        expect(told).to_have_text("Paused. New lines wait.")
        ask(running, "mark-11")
        # The next line of the log that is not held back would be this one's.
        expect(button(page, "Pause")).to_have_attribute("aria-pressed", "true")
        expect(lines.get_by_text("mark-11")).to_have_count(0)
        button(page, "Jump to the end").click()
        until_mark(page, "mark-11")
        expect(told).to_have_text("")
        page.wait_for_function(IS_IN_SIGHT, arg="mark-11")


def test_no_line_is_missing_or_comes_twice_when_the_sidecar_is_killed_and_comes_back(
    browser: Browser, tmp_path: Path
) -> None:
    """Ollama works on meanwhile, and its shim writes on."""
    port = free_port()
    first = make_sidecar(tmp_path, port=port)
    with shown(browser, "about:blank", may_say=lambda fault: "ERR_" in fault) as view:
        page = view.page
        with first:
            assert call("POST", f"{first.url}/api/ollama/start", timeout=60).status == 200
            open_log(page, first)
            for number in range(3):
                ask(first, f"mark-{number}")
            until_mark(page, "mark-2")
            first.process.kill()
            first.process.wait(30)
            expect(page.locator("#connection")).to_contain_text("does not answer")
            for number in range(3, 6):
                ask(first, f"mark-{number}")
            with make_sidecar(tmp_path, port=port, ollama_port=first.ollama_port) as second:
                until_mark(page, "mark-5")
                ask(second, "mark-6")
                until_mark(page, "mark-6")
                shown_lines = page.locator(".log-lines .log-chunk > div").all_inner_texts()
    seen = [found[0] for line in shown_lines if (found := re.search(r"mark-\d+", line))]
    assert seen == [f"mark-{number}" for number in range(7)]


def test_ten_thousand_lines_come_and_are_searched_without_a_stall(browser: Browser, running: Sidecar) -> None:
    """Told by what the page's main thread works in one go, as time of the processor: another program's is not ours."""
    with shown(browser, "about:blank") as view:
        page = view.page
        open_log(page, running)
        log = page.get_by_role("log")
        browser.start_tracing(page=page, categories=["toplevel"])
        with log_of(running).open("a", encoding="utf-8") as file:
            file.writelines(
                f'[OUT] 2026-11-28 10:00:00 time=2026-11-28T10:00:00.000Z level=INFO msg="flood {number}"\n'
                for number in range(FLOOD)
            )
            file.write("[SYS] 2026-11-28 10:00:00 mark-20\n")
        until_mark(page, "mark-20")
        page.get_by_label("Find in the log").fill("flood 77")
        expect(page.locator(".log-told")).to_have_text("111 lines found.")
        page.get_by_label("Find in the log").fill("")
        page.get_by_role("checkbox", name="Sidecar").uncheck()
        log.focus()
        for key in ("Home", "PageDown", "End"):
            page.keyboard.press(key)
        tasks = own_tasks(json.loads(browser.stop_tracing())["traceEvents"])
        assert len(tasks) > 100
        assert max(tasks) < STALL_MILLISECONDS, sorted(tasks)[-5:]
        assert FLOOD - 200 <= log.locator(".log-chunk > div").count() <= FLOOD * 1.1 + 200


def flood(sidecar: Sidecar, text: str, count: int) -> None:
    """Write that many lines into the log, each with `text` and its number."""
    with log_of(sidecar).open("a", encoding="utf-8") as file:
        file.writelines(f"[OUT] 2026-11-28 10:00:00 {text} {number}\n" for number in range(count))


def test_what_a_long_pause_cannot_keep_is_told_in_its_place(browser: Browser, running: Sidecar) -> None:
    with shown(browser, "about:blank") as view:
        page = view.page
        open_log(page, running)
        told = page.locator(".log-told")
        button(page, "Pause").click()
        flood(running, "pausing", PAUSED)
        expect(told).to_contain_text(f"Paused. {PAUSED:,} new lines; the newest ", timeout=DEADLINE)
        expect(told).to_contain_text("wait.")
        button(page, "Jump to the end").click()
        flood(running, "mark-30", 1)
        until_mark(page, "mark-30")
        rows = page.locator(".log-lines .log-chunk > div")
        note = page.locator(".log-lines .log-note").last
        expect(note).to_contain_text("lines of the log came too fast, or in a pause, and are not shown.")
        # What is far from the view is not laid out, and has no inner text.
        missing = int((note.text_content() or "").split()[0].replace(",", ""))
        here = sum(" pausing " in line for line in rows.all_text_contents())
        assert missing + here == PAUSED
        # The next pause begins anew.
        button(page, "Pause").click()
        expect(told).to_have_text("Paused. New lines wait.")
        flood(running, "again", 1)
        expect(told).to_have_text("Paused. 1 new line.")


def test_a_search_for_one_letter_marks_a_bounded_number_and_its_count_goes_on(
    browser: Browser, running: Sidecar
) -> None:
    with shown(browser, "about:blank") as view:
        page = view.page
        open_log(page, running)
        told = page.locator(".log-told")
        flood(running, "eeee " * 30, 3000)
        flood(running, "mark-40", 1)
        until_mark(page, "mark-40")
        page.get_by_label("Find in the log").fill("e")
        expect(told).to_contain_text("found; not every match is marked.")
        found = int(told.inner_text().split()[0].replace(",", ""))
        assert found >= 3000
        marks = page.locator(".log-lines mark").count()
        assert 5_000 < marks <= MOST_MARKS
        flood(running, "one more e", 5)
        expect(told).to_contain_text(f"{found + 5:,} lines found")
        assert page.locator(".log-lines mark").count() <= MOST_MARKS


def own_tasks(events: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of the processor that each task of the page's main thread took, but for the debugger's own."""
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    here = [event for event in events if (event["pid"], event["tid"]) in threads and event["ph"] == "X"]
    debugger = [
        (event["pid"], event["ts"])
        for event in here
        if "DevToolsSession" in str(event.get("args", {}).get("chrome_mojo_event_info"))
    ]
    return [
        event["tdur"] / 1000
        for event in here
        if event["name"] == "ThreadControllerImpl::RunTask"
        # One that is under way at the end of the recording has no duration.
        and "tdur" in event
        and not any(
            pid == event["pid"] and event["ts"] <= moment <= event["ts"] + event["dur"] for pid, moment in debugger
        )
    ]
