"""`xturing eval` and `xturing compare`: how well models do, and how sure that is."""

from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.eval_dry_running import show_plan
from xturing.cli.eval_options import (
    Asked,
    BoundOption,
    MetricsOption,
    asking,
    gates_of,
    names_of,
)
from xturing.cli.eval_shown import progress, show
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import MODEL_HELP, known_models
from xturing.cli.selfinstruct_options import Asked as Judge
from xturing.cli.selfinstruct_options import asking as judging
from xturing.core.errors import SettingsError

JUDGE = "judge"

app = typer.Typer(invoke_without_command=True)

FolderArgument = Annotated[
    Path, typer.Argument(help="The folder that `xturing eval -o` wrote.")
]


@app.callback(invoke_without_command=True)
@asking
def evaluate(
    context: typer.Context,
    asked: Asked,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            autocompletion=known_models,
            help=f"{MODEL_HELP} Or the folder of an evaluation; the first is the base "
            "of comparisons. May be given many times.",
        ),
    ] = None,
    must_not_regress: Annotated[
        str | None,
        typer.Option(
            help="A model, or an evaluation's folder; end with code 3 if a model is "
            "shown to be worse."
        ),
    ] = None,
    harness: Annotated[
        str | None,
        typer.Option(
            help="Tasks of lm-evaluation-harness, with commas, or a YAML file."
        ),
    ] = None,
    few_shot: Annotated[
        int | None,
        typer.Option(min=0, help="With --harness: examples before each question."),
    ] = None,
    apply_chat_template: Annotated[
        bool,
        typer.Option(
            "--apply-chat-template", help="With --harness: ask in the chat format."
        ),
    ] = False,
) -> None:
    """Score models on rows, tasks or benchmarks, with intervals and a verdict.

    Example: xturing eval -m tuned -d held_out.jsonl -o scores

    Example: xturing eval -m smollm2 --task common_sense --fail-under
    choice_accuracy=0.3

    Example: xturing eval -m smollm2 --harness hellaswag,arc_easy
    """
    if context.invoked_subcommand is not None:
        return
    if not models:
        raise SettingsError("Name a model: -m smollm2, or the folder of one.")
    if harness is not None:
        from xturing.cli.eval_harness import run

        run(
            models,
            harness,
            asked,
            few_shot=few_shot,
            apply_chat_template=apply_chat_template,
        )
        return
    if few_shot is not None or apply_chat_template:
        raise SettingsError(
            "--few-shot and --apply-chat-template go with --harness only. A task says "
            "in its file how many examples it shows, and whether it is a chat."
        )
    base = [] if must_not_regress is None else [must_not_regress]
    _run([*base, *models], asked, refuses_regressions=bool(base))


@app.command("list")
def list_tasks(as_json: JsonOption = False) -> None:
    """List the tasks and the metrics that there are.

    Example: xturing eval list
    """
    from xturing.eval import METRICS, bundled_tasks

    if as_json:
        names = ("name", "version", "description")
        tasks = [
            {name: getattr(task, name) for name in names} for task in bundled_tasks()
        ]
        metrics = {name: _summary(METRICS[name]) for name in METRICS}
        answer({"tasks": tasks, "metrics": metrics})
        return
    render.heading("Tasks (--task)")
    render.table(
        ["name", "version", "what is asked"],
        [[task.name, str(task.version), task.description] for task in bundled_tasks()],
    )
    render.heading("Metrics (--metrics)")
    summaries = [[name, _summary(METRICS[name])] for name in METRICS]
    render.table(["name", "what it tells"], summaries)


@app.command()
def rescore(
    folder: FolderArgument,
    metrics: MetricsOption = None,
    fail_under: BoundOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the answers of an evaluation anew, without a model.

    Example: xturing eval rescore scores --metrics exact_match,rouge
    """
    from xturing.eval import rescore as rescored

    found = rescored(folder, metrics=names_of(metrics), gates=gates_of(fail_under))
    show(found, None, as_json=as_json)


@app.command()
@judging
def judge(
    folder: FolderArgument,
    asked: Judge,
    criteria: Annotated[
        str | None, typer.Option(help="What makes an answer better, in words.")
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(help="Mark the last model's answers by it, in place of pairs."),
    ] = None,
    scale: Annotated[int, typer.Option(min=2, help="The best mark.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Ask a language model which of two models' answers are better.

    Replies are kept in the folder's part `judge`; the same command pays for nothing
    twice. Example: xturing eval judge scores --engine openai:gpt-4.1-mini
    """
    from xturing.core.files import write_json
    from xturing.eval import judge_pairs, judge_scores, read_evaluation

    results = read_evaluation(folder).results
    terms = {"engine": asked.client(), "folder": folder / JUDGE, **asked.limits()}
    if rubric is not None:
        found = judge_scores(results[-1], rubric=rubric, scale=scale, **terms)
    elif len(results) < 2:
        raise SettingsError(
            f"{folder} has the answers of one model. Evaluate two, or give a --rubric."
        )
    else:
        found = judge_pairs(results[0], results[-1], criteria=criteria, **terms)
    write_json(folder / f"{JUDGE}.json", found.as_dict())
    if as_json:
        answer(found.as_dict())
    else:
        render.say(found.sentence)


@asking
def compare(
    base: Annotated[
        str, typer.Argument(help="A name, or a folder.", autocompletion=known_models)
    ],
    other: Annotated[
        str,
        typer.Argument(
            help="The model that may be better.", autocompletion=known_models
        ),
    ],
    asked: Asked,
) -> None:
    """Say whether one model is better than another on the same rows, and how sure.

    Example: xturing compare smollm2 tuned -d held_out.jsonl
    """
    _run([base, other], asked)


def _run(models: list[str], asked: Asked, *, refuses_regressions: bool = False) -> None:
    from xturing.eval import evaluate as evaluated

    subject, config = asked.subject(), asked.resolved()
    if asked.dry_run:
        show_plan(models, asked, subject, config)
        return
    gates = asked.gates(refuses_regressions=refuses_regressions)
    with progress():
        found = evaluated(
            models,
            subject,
            metrics=names_of(asked.metrics),
            config=config,
            folder=asked.output,
            gates=gates,
            open_by=asked.opener(),
        )
    show(found, asked.output, as_json=asked.as_json)


def _summary(thing: object) -> str:
    return (thing.__doc__ or "").partition("\n")[0]
