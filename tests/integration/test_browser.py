"""The page in Chromium, with the real model: what users do with a mouse.

Pictures of the windows are kept in `test-artefacts/browser` of the repository, or where
XTURING_PICTURES says.
"""

import json
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import browser
import pytest
from browser import Window
from playwright.sync_api import sync_playwright

PICTURES = Path(
    os.environ.get("XTURING_PICTURES")
    or Path(__file__).parents[2] / "test-artefacts" / "browser"
)
STEPS = 20
QUICK = (
    "compile_blocks: false\nreport_samples: 1\nvalidation_limit: 4\nsave_steps: 5\n"
    "gradient_accumulation_steps: 1\n"
)

pytestmark = [
    pytest.mark.slow,
    # What is waited for are processes, each of which loads the model anew.
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        browser.chromium() is None,
        reason="needs Chromium (Debian: apt install chromium); .ci/run installs it",
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows, and with what is none."""
    folder = tmp_path_factory.mktemp("work")
    sample = files("xturing.cli") / "sample"
    lines = (sample / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "rows.jsonl").write_text("\n".join(lines[:48]) + "\n")
    (folder / "held_out.jsonl").write_text("\n".join(lines[48:54]) + "\n")
    (folder / "nonsense.jsonl").write_text('{"instruction": \n')
    replies = [json.dumps({"text": "Name a colour.\n2. Name a river."})]
    (folder / "replies.jsonl").write_text("\n".join(replies) + "\n")
    return folder


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with browser.app(root) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=browser.chromium(), args=list(browser.FLAGS)
        )
        yield opened
        opened.close()


@pytest.fixture
def window(chromium, address: str) -> Iterator[Window]:
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    window = Window(context.new_page(), PICTURES)
    window.open(address)
    yield window
    context.close()


def load(window: Window, model: str = "smollm2", other: str = "") -> None:
    window.choose("chat-model", model)
    if other:
        window.choose("chat-other", other)
    window.click("chat-load")
    window.wait("chat-status", "Loaded")


def say(window: Window, words: str) -> None:
    window.page.locator("#chat-prompt textarea").fill(words)
    window.page.locator("#chat-prompt textarea").press("Enter")


def answer(window: Window, number: int, side: str = "left") -> str:
    """Return an answer when it has been written."""
    bubble = window.page.locator(f"#chat-{side} [data-testid=bot]").nth(number)
    bubble.wait_for()
    window.page.wait_for_function(
        "element => { const now = element.innerText; const was = window.lastSeen;"
        " window.lastSeen = now; return now.length > 0 && now === was; }",
        arg=bubble.element_handle(),
        polling=1500,
    )
    return bubble.inner_text()


def begin(window: Window, output: str, rate: str = "1e-3") -> None:
    window.tab("Fine-tune")
    window.fill("finetune-rows-path", "rows.jsonl")
    window.fill("finetune-steps", str(STEPS))
    window.fill("finetune-rate", rate)
    window.fill("finetune-batch", "1")
    window.fill("finetune-output", output)
    editor = window.page.locator("#finetune-more .cm-content")
    editor.click()
    window.page.keyboard.insert_text(QUICK)
    window.click("finetune-start")


def test_a_conversation_is_streamed_and_remembered__predecessor_fault_26(
    window: Window,
):
    load(window)
    say(window, "What is the capital of France?")
    assert "Paris" in answer(window, 0)
    say(window, "And of Italy?")
    assert "Rome" in answer(window, 1)
    window.picture("chat")
    assert not window.strangers


def test_the_stop_button_ends_an_answer_and_clear_empties_the_chat(window: Window):
    load(window)
    say(window, "Write a very long story about the sea, in many chapters.")
    bubble = window.page.locator("#chat-left [data-testid=bot]").first
    bubble.wait_for()
    window.page.wait_for_timeout(1500)
    window.click("chat-stop")
    stopped = answer(window, 0)
    window.page.wait_for_timeout(3000)
    assert bubble.inner_text() == stopped
    window.click("chat-clear")
    bubble.wait_for(state="detached")


def test_two_windows_do_not_disturb_each_other(window: Window, chromium, address: str):
    context = chromium.new_context()
    other = Window(context.new_page(), PICTURES)
    other.open(address)
    load(window)
    load(other)
    say(window, "What is the capital of France?")
    say(other, "What is the capital of Japan?")
    assert "Paris" in answer(window, 0)
    assert "Tokyo" in answer(other, 0)
    assert window.page.locator("#chat-left [data-testid=bot]").count() == 1
    context.close()


def test_a_wrong_path_is_one_sentence_in_the_page(window: Window):
    window.choose("chat-model", "no_such_model")
    window.click("chat-load")
    assert "no_such_model" in window.wait("chat-status", "There is no")
    window.choose("chat-model", "/etc")
    window.click("chat-load")
    assert "outside" in window.wait("chat-status", "--root")
    window.picture("wrong-path")


def test_an_upload_that_is_no_data_is_told(window: Window, root: Path):
    window.tab("Fine-tune")
    upload = window.page.locator("#finetune-rows-upload input[type=file]")
    upload.set_input_files(root / "nonsense.jsonl")
    window.page.locator("#finetune-rows-upload").get_by_text("nonsense").wait_for()
    window.click("finetune-start")
    assert "nonsense.jsonl" in window.error()


def test_the_preview_colours_what_is_learnt(window: Window):
    window.tab("Fine-tune")
    window.fill("finetune-rows-path", "rows.jsonl")
    window.click("finetune-preview")
    window.wait("finetune-rows-shown", "tokens,")
    learnt = window.page.locator("#finetune-rows-shown .tokens span.answer")
    assert learnt.nth(1).inner_text().startswith("{")
    assert "learning_rate" in window.text("finetune-settings")
    window.picture("preview")


def test_a_run_is_followed_stopped_resumed_and_outlives_a_reload(
    window: Window, root: Path, address: str
):
    begin(window, "tuned")
    window.wait("finetune-status", f"of {STEPS}")
    window.page.wait_for_function(
        "() => /[3-9] of 20/.test(document.querySelector('#finetune-status').innerText)"
    )
    window.page.reload()
    window.tab("Fine-tune")
    window.state("finetune", "running")
    window.click("finetune-stop")
    window.state("finetune", "stopped")
    window.picture("stopped")
    assert not (root / "tuned" / "xturing.json").exists()
    window.click("finetune-resume")
    window.state("finetune", "running")
    window.wait("finetune-status", "Going on after step")
    window.state("finetune", "done")
    lines = window.page.locator("#finetune-losses svg polyline")
    assert lines.first.get_attribute("points")
    window.framed("finetune-report", "Verdict")
    window.picture("tuned")
    report = json.loads((root / "tuned" / "report.json").read_text())
    assert report["steps"] == STEPS
    assert len(report["losses"]) == STEPS
    first, *_, last = report["validations"]
    assert last["loss"] < first["loss"]
    assert not window.strangers

    # What was tuned is of use in the other tabs.
    load(window_at(window, "Chat"), "tuned", "smollm2")
    say(window, "Hello")
    answer(window, 0)
    answer(window, 0, "right")
    window.picture("side-by-side")
    evaluate(window)
    export(window, root)


def window_at(window: Window, tab: str) -> Window:
    window.tab(tab)
    return window


def evaluate(window: Window) -> None:
    window.tab("Evaluate")
    window.choose("evaluate-model", "tuned")
    window.choose("evaluate-base", "smollm2")
    window.fill("evaluate-rows-path", "held_out.jsonl")
    window.fill("evaluate-limit", "2")
    window.choose("evaluate-metrics", "loss")
    window.click("evaluate-start")
    window.state("evaluate", "done")
    assert "tuned" in window.wait("evaluate-scores", "loss")
    assert window.text("evaluate-verdict")
    window.framed("evaluate-report", "Scores")
    window.picture("evaluated")


def export(window: Window, root: Path) -> None:
    window.tab("Quantize & export")
    window.choose("export-model", "tuned")
    window.choose("export-choice", "safetensors")
    window.fill("export-output", "exported")
    window.click("export-start")
    window.state("export", "done")
    assert "same first choice" in window.wait("export-figures", "model.safetensors")
    assert (root / "exported" / "model.safetensors").is_file()
    window.picture("exported")
    window.tab("Jobs")
    jobs = window.wait("jobs-list", "export")
    assert re.search(r"finetune\s+done", jobs)
