import json
from pathlib import Path

import pytest
import scripts

from xturing.data import InstructionDataset


@pytest.fixture
def generate(xturing, tmp_path):
    """Return the command `xturing selfinstruct generate`, with seeds and a script."""
    scripts.write_seeds(tmp_path / "seeds.jsonl")
    scripts.write_script(tmp_path / "replies.jsonl")

    def run(*arguments, engine="scripted:replies.jsonl"):
        command = ("selfinstruct", "generate", "seeds.jsonl", "--engine", engine)
        return xturing(*command, "-n", 12, "-o", "run", *arguments)

    return run


def test_a_dataset_is_made_and_counted(generate):
    done = generate()
    assert done.code == 0, done.err
    rows = len(InstructionDataset(Path("run/sampled_generated.jsonl")))
    assert f"{rows} rows are in run/sampled_generated.jsonl" in done.out


def test_the_same_command_again_says_the_same(generate):
    assert generate().out == generate().out


def test_a_dry_run_shows_the_first_prompts_and_sends_nothing(generate):
    done = generate("--dry-run", engine="openai:gpt-4.1-mini")
    assert done.code == 0, done.err
    assert "Go on with 8 new tasks" in done.out
    assert "Nothing was sent" in done.out
    assert "$0.0" in done.out
    assert not Path("run").exists()


def test_a_dry_run_without_a_known_price_says_so(generate):
    done = generate("--dry-run", engine="openai:my-own")
    assert "at a price that is not known here" in done.out


def test_a_cap_is_told(generate):
    done = generate("--max-requests", 3)
    assert "Ended early: max_requests=3 is reached" in done.out


def test_what_is_to_be_resumed_has_to_be_there(generate):
    done = generate("--resume")
    assert done.code == 1
    assert "no run in run to resume" in done.err


def test_a_setting_that_is_not_there_is_answered_with_the_nearest(generate):
    done = generate("--set", "instances_per_instruktion=2")
    assert "Did you mean 'instances_per_instruction'" in done.err


def test_reasons_and_counts_are_shown(generate):
    generate()
    left_out = scripts.read_lines(Path("run/rejected.jsonl"))
    done = generate()
    for reason in {row["reason"] for row in left_out}:
        assert f"left out: {reason}" in done.out


def test_the_report_can_be_written_anew(generate, xturing):
    generate()
    before = Path("run/report.md").read_bytes()
    Path("run/report.md").unlink()
    done = xturing("selfinstruct", "report", "run")
    assert "The report is in run/report.md" in done.out
    assert Path("run/report.md").read_bytes() == before


def test_there_is_no_report_without_a_run(xturing):
    done = xturing("selfinstruct", "report", "nowhere")
    assert (done.code, "no finished run in nowhere" in done.err) == (1, True)


def test_documents_become_rows_that_name_their_source(xturing, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Bergen was founded in 1070.")
    pair = {"question": "When was Bergen founded?", "answer": "It was founded in 1070."}
    script = [{"text": json.dumps([pair])}]
    scripts.write_lines(tmp_path / "replies.jsonl", script)
    engine = ("--engine", "scripted:replies.jsonl")
    done = xturing("selfinstruct", "from-docs", "docs", *engine, "-o", "run", "-n", 3)
    assert done.code == 0, done.err
    (row,) = scripts.read_lines(tmp_path / "run/sampled_generated.jsonl")
    assert (row["source"], row["target"]) == ("a.txt", pair["answer"])


def test_a_dry_run_over_documents_shows_the_first_passage(xturing, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Bergen was founded in 1070.")
    command = ("selfinstruct", "from-docs", "docs", "--engine", "cohere:command-x")
    done = xturing(*command, "--dry-run")
    assert done.code == 0, done.err
    assert "Bergen was founded in 1070." in done.out
