"""Evaluations from first to last: questions, outcomes, figures, verdicts.

Models are opened one after another, so that one at a time is in memory. With a folder,
what they answer is kept batch by batch, and a run that was killed goes on from there to
the same report.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from xturing.core.errors import SettingsError
from xturing.core.events import tell
from xturing.core.journals import sole_user
from xturing.eval.answering import Manner, answers_of
from xturing.eval.comparing import compared
from xturing.eval.contamination import contamination_of
from xturing.eval.environment import environment
from xturing.eval.events import ModelOpened
from xturing.eval.examination import Examination, Options, examination
from xturing.eval.fingerprints import fingerprint
from xturing.eval.gates import Gates
from xturing.eval.keeping import Kept
from xturing.eval.likelihoods import OpenKept, choices_of, references_of
from xturing.eval.measuring import Measured, measure, scores
from xturing.eval.metrics import Need, opened
from xturing.eval.questions import Likelihood, Outcome, Question
from xturing.eval.reporting.papers import write_papers
from xturing.eval.reporting.report_json import (
    REPORT_FILE,
    ROWS_FILE,
    write_report,
    write_rows,
)
from xturing.eval.rescoring import Earlier, is_evaluation, read_evaluation
from xturing.eval.results import Compared, Contamination, Evaluation, Result
from xturing.eval.settings import EvalConfig
from xturing.eval.tasks import open_task, questions_of
from xturing.models.base import BaseModel, open_model

GENERAL = "general_text"
"""The task whose loss tells what a model has forgotten."""
KEPT = "kept"
"""The folder of what is kept of each model."""

Model = str | Path | BaseModel
"""A variant's name, a saved folder, a model, or the folder of an evaluation."""


def evaluate(
    models: Model | Sequence[Model],
    asked: object,
    *,
    metrics: Options | Sequence[str] | None = None,
    config: EvalConfig | None = None,
    folder: str | Path | None = None,
    gates: Gates | None = None,
    open_by: Callable[[str], BaseModel] = open_model,
) -> Evaluation:
    """Return how models do; the first is the base that the others are compared with.

    A model may be the folder of an earlier evaluation on the same rows: the last model
    there then stands for itself, and need not be here. `asked` is a `Task`, a dataset,
    or what `open_dataset` takes; `metrics` are names, or options by name. With a
    folder, answers and reports are written there, and what is there already is not
    done again. `open_by` opens models by their names.

    Raises:
        DataError: the rows cannot be read, a metric does not fit them, or a score is
            no number.
        ModelError: a model cannot be opened, or has no chat template for chats.
        SettingsError: no model is given, or settings contradict one another.
        OutputError: another process works in the folder, or the disk is full.
    """
    given = [models] if isinstance(models, Model) else list(models)
    if not given:
        raise SettingsError("No model is given to evaluate; name one or more.")
    settings = config or EvalConfig()
    exam = examination(asked, settings, _named(metrics))
    place = None if folder is None else Path(folder).expanduser()
    with nullcontext() if place is None else sole_user(place):
        run = Run(exam, settings, place, compares=len(given) > 1)
        for number, (label, model) in enumerate(_labelled(given), start=1):
            if not isinstance(model, BaseModel) and is_evaluation(model):
                run.add_earlier(read_evaluation(model), label=label)
                continue
            known = model if isinstance(model, BaseModel) else open_by(str(model))
            tell(ModelOpened(model=label, number=number, of=len(given)))
            run.ask(label, known)
            # The next model needs its memory.
            del known
        found = run.evaluation(gates or Gates())
        if place is not None:
            write_evaluation(place, found)
    return found


def rescore(
    folder: str | Path,
    *,
    metrics: Options | Sequence[str] | None = None,
    config: EvalConfig | None = None,
    gates: Gates | None = None,
) -> Evaluation:
    """Return an evaluation that was written, measured anew from the answers kept in it.

    Without metrics, they are those of that time. Nothing is written; no model is
    needed.

    Raises:
        DataError: there is no evaluation, or its models were not asked what a metric
            needs.
    """
    earlier = read_evaluation(folder)
    told, chosen = earlier.report, earlier.report["settings"]
    settings = config or EvalConfig(seed=told["seed"])
    exam = Examination(
        name=told["task"],
        version=told["version"],
        data=told["data"],
        questions=earlier.questions,
        metrics=_named(metrics) or earlier.metrics,
        manner=Manner(**{each.name: chosen[each.name] for each in fields(Manner)}),
    )
    run = Run(exam, settings.model_copy(update={"forgetting": False}))
    for number in range(len(earlier.results)):
        run.add_earlier(earlier, number)
    return run.evaluation(gates or Gates())


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write an evaluation's rows and reports.

    Raises:
        OutputError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / ROWS_FILE, evaluation)
    write_papers(folder, evaluation)
    write_report(folder / REPORT_FILE, evaluation)


def outcomes_of(
    model: BaseModel,
    exam: Examination,
    needs: set[Need],
    open_kept: OpenKept,
) -> tuple[Outcome, ...]:
    """Return what a model makes of the questions, as far as it is needed.

    Raises:
        DataError: a row leaves the model no room.
        ModelError: it has no chat template for chats.
    """
    questions = exam.questions
    nothing = [() for _ in questions]
    references: Sequence[Likelihood | None] = [None for _ in questions]
    if "reference" in needs:
        references = references_of(model, questions, open_kept)
    choices = choices_of(model, questions, open_kept) if "choices" in needs else nothing
    answers = nothing
    if "answers" in needs:
        answers = answers_of(model, questions, exam.manner, open_kept)
    parts = zip(questions, answers, references, choices, strict=True)
    return tuple(
        Outcome(question=question, answers=written, reference=likelihood, choices=each)
        for question, written, likelihood, each in parts
    )


@dataclass(frozen=True, eq=False)
class Asked:
    """A model's result, and what each metric makes of it."""

    result: Result
    measured: list[Measured]
    general: Measured | None
    """Its loss on general text."""


class Run:
    """An evaluation under way: models are asked one by one, then it is summed up."""

    def __init__(
        self,
        exam: Examination,
        config: EvalConfig,
        folder: Path | None = None,
        *,
        compares: bool = False,
    ) -> None:
        self._exam = exam
        self._config = config
        self._folder = folder
        self._metrics = exam.opened_metrics()
        self._asked: list[Asked] = []
        self._environment: Mapping[str, str] = {}
        looks = compares if config.forgetting is None else config.forgetting
        self._general = questions_of(open_task(GENERAL)) if looks else []

    def ask(self, label: str, model: BaseModel) -> None:
        """Have a model answer, and measure what it says."""
        self._environment = environment(model)
        identity = fingerprint(model)
        open_kept = partial(_kept, self._folder, identity)
        needs: set[Need] = {metric.needs for metric in self._metrics}
        general = None
        if self._general:
            likelihoods = references_of(
                model, self._general, open_kept, work="general text"
            )
            general = _outcomes(self._general, likelihoods)
        self.add(
            label,
            identity,
            outcomes_of(model, self._exam, needs, open_kept),
            general,
            self._contamination(label, model),
        )

    def add(
        self,
        label: str,
        identity: str,
        outcomes: tuple[Outcome, ...],
        general: Sequence[Outcome] | None = None,
        contamination: Contamination | None = None,
    ) -> None:
        """Take in what a model made of the questions, and of general text.

        Raises:
            DataError: a score is no number, or nothing was written.
        """
        measured = [measure(metric, outcomes) for metric in self._metrics]
        loss = opened("loss", self._general, {}) if general else None
        forgotten = measure(loss, general) if loss and general else None
        drawn = {"seed": self._config.seed, "resamples": self._config.resamples}
        result = Result(
            model=label,
            fingerprint=identity,
            scores=tuple(each for part in measured for each in scores(part, **drawn)),
            outcomes=outcomes,
            forgetting=scores(forgotten, **drawn)[0] if forgotten else None,
            contamination=contamination,
        )
        self._asked.append(Asked(result, measured, forgotten))

    def add_earlier(
        self, earlier: Earlier, number: int = -1, *, label: str | None = None
    ) -> None:
        """Take in a model of an earlier evaluation, the last one if none is named.

        Raises:
            DataError: other questions were asked there.
        """
        earlier.refuse_other(self._exam.questions)
        self._environment = self._environment or earlier.report["environment"]
        result = earlier.results[number]
        self.add(
            f"{result.model} in {label}" if label else result.model,
            result.fingerprint,
            result.outcomes,
            contamination=result.contamination,
        )

    def evaluation(self, gates: Gates) -> Evaluation:
        """Return what was found of all models."""
        base, *others = self._asked
        pairs = tuple(self._compared(base, other) for other in others)
        results = tuple(each.result for each in self._asked)
        return Evaluation(
            task=self._exam.name,
            version=self._exam.version,
            data=self._exam.data,
            rows=len(self._exam.questions),
            results=results,
            compared=pairs,
            failures=gates.failures(results, pairs),
            settings=self._exam.settings(self._config),
            environment=self._environment,
            seed=self._config.seed,
        )

    def _compared(self, base: Asked, other: Asked) -> Compared:
        general = None
        if base.general is not None and other.general is not None:
            general = base.general, other.general
        return compared(
            base.result,
            other.result,
            list(zip(base.measured, other.measured, strict=True)),
            general,
            seed=self._config.seed,
            resamples=self._config.resamples,
        )

    def _contamination(self, label: str, model: BaseModel) -> Contamination | None:
        if model.training_data is None or not self._config.contamination:
            return None
        folder = Path(label).expanduser()
        return contamination_of(
            self._exam.questions,
            model.training_data,
            folder if folder.is_dir() else None,
        )


def _outcomes(
    questions: Sequence[Question], references: Sequence[Likelihood | None]
) -> list[Outcome]:
    pairs = zip(questions, references, strict=True)
    return [Outcome(question=question, reference=found) for question, found in pairs]


def _kept(folder: Path | None, identity: str, work: str, key: str) -> Kept:
    """Return what is kept of some work; other work and settings have other files."""
    if folder is None:
        return Kept(None, key)
    name = f"{work.replace(' ', '_')}-{key[:12]}.jsonl"
    return Kept(folder / KEPT / identity[:12] / name, key)


def _named(metrics: Options | Sequence[str] | None) -> Options | None:
    if metrics is None or isinstance(metrics, Mapping):
        return metrics
    return {name: {} for name in metrics}


def _labelled(models: Sequence[Model]) -> list[tuple[str, Model]]:
    """Return the models under names of which no two are the same."""
    found: list[tuple[str, Model]] = []
    names: dict[str, int] = {}
    for model in models:
        name = model.config_name if isinstance(model, BaseModel) else str(model)
        names[name] = names.get(name, 0) + 1
        found.append((name if names[name] == 1 else f"{name} ({names[name]})", model))
    return found
