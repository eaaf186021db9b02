"""A fine-tuning run: rows to examples, examples to steps, steps to a saved model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning.pytorch.loggers import Logger

from xturing.core.errors import OutputError, SettingsError
from xturing.core.events import tell
from xturing.core.files import fill_folder, free_folder, write_json
from xturing.data.datasets import BaseDataset, open_dataset
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.checkpoints import Snapshot
from xturing.train.events import TrainingStarted
from xturing.train.memory import peak_of, reset_peak_of, returning_memory
from xturing.train.objectives.base import Objective, Units
from xturing.train.objectives.choosing import METHODS, choose, refuse_rows
from xturing.train.observed import Observed
from xturing.train.planning.deadline import SAMPLES, Deadline
from xturing.train.planning.events import PlanCompared, RunPlanned
from xturing.train.planning.forecast import Given, forecast
from xturing.train.planning.planner import Prediction, plan_topic
from xturing.train.planning.threads import keeping_threads
from xturing.train.recorder import Recorder
from xturing.train.report import (
    LEDGER_FILE,
    REPORT_FILE,
    ROWS_FILE,
    FinetuneReport,
    ledgers,
    summarise,
)
from xturing.train.reporting.additions import Additions, Choice
from xturing.train.reporting.card import origin
from xturing.train.reporting.looking import Look
from xturing.train.reporting.papers import write_papers
from xturing.train.resuming import (
    find_start,
    identity,
    naming_last_checkpoint,
    refuse_other,
    refuse_taken,
    refuse_unlike,
    resume_place,
)
from xturing.train.row_losses import write_row_losses
from xturing.train.runner import (
    Loggers,
    Run,
    carry_out,
    listed,
    own_randomness,
    whole_history,
)
from xturing.train.schedule import Epochs, plan_run
from xturing.train.stopping import StopRequest
from xturing.train.strategies.choosing import layout, working_together
from xturing.train.strategies.processes import Processes
from xturing.train.trackers import require_trackers, tracking


def finetune(
    model: BaseModel,
    dataset: object,
    *,
    logger: Loggers = True,
    eval_dataset: object | None = None,
    resume: bool | str | Path = False,
) -> FinetuneReport:
    """Fine-tune a model with its `finetuning_config()` and save it to `output_dir`.

    `dataset` is a dataset, or anything that one is made from. Without `eval_dataset`, a
    part of the rows is held out (`validation_split`). `logger` is a Lightning logger or
    several, beside `trackers`; metrics.jsonl is written in any case. The model is
    changed in place, and saved before its report is made.

    With `resume`, an interrupted run goes on from its newest checkpoint that is whole,
    to the same bits as if nothing had happened, or starts if there is none. The run is
    the one in `output_dir`, or in the folder that is given; of a checkpoint's folder,
    that checkpoint is taken. Ctrl-C and SIGTERM write a checkpoint before they end it.

    With several `devices`, this program is started again for each further one, unless
    torchrun or SLURM has done so, and comes to this call; those that were started here
    end with it. The first process writes files and tells events.

    Raises:
        DataError: a row cannot be used.
        SettingsError: settings do not fit the model or the data, or are not those of
            the run that is to be resumed.
        MissingDependencyError: a tracker is not installed, or the strategy or the
            optimizer needs DeepSpeed.
        OutputError: `output_dir` is in use, or the disk is full.
        TrainingError: the loss is no number any more, or another process ended. Other
            errors of another process are raised here, too.
        LedgerError: other tokens entered the loss than were to be learnt.
        KeyboardInterrupt: Ctrl-C stopped the run.
        SystemExit: SIGTERM stopped the run.
    """
    copied = model.finetuning_config().model_copy(deep=True)
    require_trackers(copied)
    deadline = Deadline(copied.max_time or math.inf)
    with (
        returning_memory(at_once=_is_returned(copied)),
        keeping_threads(),
        working_together(copied, model) as (config, processes),
        _started(config, processes, resume, deadline) as start,
    ):
        reset_peak_of(model.engine.device.name)
        parts = _opened_parts(config, dataset, eval_dataset)
        return _finetune(model, config, parts, logger, start, deadline)


@dataclass(frozen=True)
class _Start:
    """Where a run begins."""

    processes: Processes
    folder: Path
    """The run's."""
    own_folder: Path
    """What this process writes to: in all but the first, it is thrown away."""
    resumed: Snapshot | None
    deadline: Deadline


@contextmanager
def _started(
    config: FinetuningConfig,
    processes: Processes,
    resume: bool | str | Path,
    deadline: Deadline,
) -> Iterator[_Start]:
    folder, resumed = processes.from_first(lambda: _begin(config, resume))
    if resume is not False:
        config.output_dir = str(folder)
    if processes.is_first:
        yield _Start(processes, folder, folder, resumed, deadline)
        return
    with TemporaryDirectory() as own:
        yield _Start(processes, folder, Path(own), resumed, deadline)


def _finetune(
    model: BaseModel,
    config: FinetuningConfig,
    parts: tuple[BaseDataset, BaseDataset | None],
    logger: Loggers,
    start: _Start,
    deadline: Deadline,
) -> FinetuneReport:
    """Do as `finetune`, as one of its processes."""
    rows, rows_held_out = parts
    processes, folder, resumed = start.processes, start.folder, start.resumed
    additions = Additions()
    name = choose(config, rows)
    if config.objective == "auto":
        reason = f"the rows are of the kind {rows.kind}"
        additions.choices.append(Choice(name="objective", value=name, reason=reason))
    objective = METHODS[name].make(config, model.engine.pad_id)
    training, held_out = _encoded(model, config, objective, rows, rows_held_out, name)
    plan = plan_run(training.units, config, objective)
    was_adapted = model.has_adapter
    with own_randomness(config.seed):
        model.prepare_training()
    given = identity(model, config, training, held_out)
    refuse_unlike(processes.from_first(lambda: given), given)
    if resumed is not None:
        refuse_other(resumed.identity, given)
    training, held_out = _prepared(model, objective, training, held_out)
    with own_randomness(config.seed):
        expected = forecast(
            Given(
                model=model,
                config=config,
                objective=objective,
                training=training,
                held_out=held_out,
                deadline=start.deadline,
                plan=plan,
                kept=resumed.forecast if resumed else None,
                is_grouped=processes.is_grouped,
            )
        )
    predicted = expected.prediction
    tokens = expected.micro_batch_tokens
    epochs_of_all = [
        Epochs(training.units, config, objective, tokens, place)
        for place in processes.place.all()
    ]
    padding = sum(
        micro.batch.padding for each in epochs_of_all for micro in each if micro.counts
    )
    epochs = epochs_of_all[processes.place.rank]
    training = replace(training, ledger=training.ledger.padded(padding))
    # From here on, what the user gave is known to fit together.
    started = TrainingStarted(
        steps=predicted.steps if predicted else plan.steps,
        ledger=training.ledger,
        validation_ledger=held_out.ledger if held_out else None,
        output_dir=folder,
        objective=name,
    )
    write_json(start.own_folder / LEDGER_FILE, ledgers(started))
    observed = Observed(len(rows))
    look = None
    if config.report:
        look = Look(model, config, objective, held_out, observed, resumed)
    additions.choices.extend(expected.choices)
    with (
        naming_last_checkpoint(folder),
        StopRequest() as stop,
        Recorder(start.own_folder, config.logging_steps) as recorder,
    ):
        run = Run(
            model,
            config,
            plan,
            epochs,
            objective,
            held_out,
            recorder,
            folder,
            given,
            stop,
            resumed,
            processes,
            layout(config).make(model.engine.model),
            expected,
            observed,
            additions,
        )
        if predicted is not None:
            recorder.add(RunPlanned(prediction=predicted, choices=expected.choices))
        tell(started)
        if look is not None and resumed is None and processes.is_first:
            with start.deadline.beside(SAMPLES):
                look.at_base(was_adapted=was_adapted)
        with _loggers(run, logger) as loggers:
            fact = carry_out(run, loggers)
        observed.history = whole_history(run)
        report = summarise(run, started, fact)
        # What was learnt is kept before anything else is done with it.
        model.training_data = rows.origin
        if processes.is_first:
            with fill_folder(folder) as draft:
                model.write_to(draft)
                write_json(draft / LEDGER_FILE, ledgers(started, report.run_ledger))
        processes.wait()
        return processes.from_first(
            lambda: _finished(report, look, model, rows, recorder, start.deadline)
        )


@contextmanager
def _loggers(run: Run, logger: Loggers) -> Iterator[list[Logger]]:
    """Yield who is told of steps and validations: nobody but by the first process."""
    if not run.processes.is_first:
        yield []
        return
    step = run.before.step
    with tracking(run.config, run.folder, listed(logger), step=step) as loggers:
        yield loggers


def _finished(
    report: FinetuneReport,
    look: Look | None,
    model: BaseModel,
    rows: BaseDataset,
    recorder: Recorder,
    deadline: Deadline,
) -> FinetuneReport:
    """Return the report with what shows in single rows, and write it for people.

    Raises:
        OutputError: the disk is full; the model has been saved already.
    """
    if look is not None:
        report = report.found(look.at_tuned(rows, report.measure))
    peak = peak_of(model.engine.device.name)
    report = _compared(report, peak, recorder, deadline)
    try:
        if look is not None:
            with fill_folder(report.output_dir) as draft:
                write_row_losses(draft / ROWS_FILE, look.row_losses, rows)
                write_papers(draft, report, origin(model, rows.origin))
        # The last file of a run: where it is, nothing is left to go on with.
        write_json(report.output_dir / REPORT_FILE, report.as_dict())
    except OutputError as error:
        raise OutputError(
            f"{error} The tuned model is whole, in {report.output_dir}; only its "
            "report is missing, which resume=True (--resume) makes."
        ) from error
    return report


def _is_returned(config: FinetuningConfig) -> bool:
    """Tell whether freed memory is given back at once, though that takes time."""
    if config.return_memory == "auto":
        return config.max_memory is not None
    return config.return_memory


def _compared(
    report: FinetuneReport, peak: int, recorder: Recorder, deadline: Deadline
) -> FinetuneReport:
    """Return the report with what a run with limits really took; it is told, too."""
    if report.predicted is None:
        return report
    real = Prediction(steps=report.steps, seconds=deadline.spent, peak_bytes=peak)
    recorder.add(PlanCompared(predicted=report.predicted, real=real))
    topics = (*report.topics, plan_topic(report.predicted, real))
    return replace(report, real=real, topics=topics)


def _opened_parts(
    config: FinetuningConfig, dataset: object, eval_dataset: object | None
) -> tuple[BaseDataset, BaseDataset | None]:
    """Return the rows to learn from, and those that are held out."""
    rows = _opened(dataset)
    if eval_dataset is not None:
        return rows, _opened(eval_dataset)
    if count := _held_out_rows(len(rows), config):
        return rows.split(count, config.seed)
    return rows, None


def _encoded(
    model: BaseModel,
    config: FinetuningConfig,
    objective: Objective,
    rows: BaseDataset,
    held_out: BaseDataset | None,
    name: str,
) -> tuple[Units, Units | None]:
    context = model.engine.context_length
    if context is not None and config.max_length > context:
        raise SettingsError(
            f"max_length is {config.max_length}, but '{model.config_name}' reads at "
            f"most {context} tokens. Set max_length to {context} or less."
        )
    tokenizer = model.engine.tokenizer
    if held_out is None:
        return objective.encode(rows, tokenizer, config), None
    refuse_rows(name, held_out)
    return (
        objective.encode(rows, tokenizer, config),
        objective.encode(held_out, tokenizer, config),
    )


def _prepared(
    model: BaseModel, objective: Objective, training: Units, held_out: Units | None
) -> tuple[Units, Units | None]:
    """Return the units with what the model says of them before it is trained."""
    network = model.engine.model

    def prepared(part: Units) -> Units:
        return replace(part, units=objective.prepare(network, part.units))

    return prepared(training), prepared(held_out) if held_out else None


def _opened(dataset: object) -> BaseDataset:
    return dataset if isinstance(dataset, BaseDataset) else open_dataset(dataset)


def _held_out_rows(rows: int, config: FinetuningConfig) -> int:
    return min(int(rows * config.validation_split), config.validation_limit)


def _begin(
    config: FinetuningConfig, resume: bool | str | Path
) -> tuple[Path, Snapshot | None]:
    """Return where the run is written, and what it goes on from."""
    if resume is False:
        return _output_folder(config), None
    folder, checkpoint = resume_place(resume, Path(config.output_dir).expanduser())
    return folder, find_start(folder, checkpoint)


def _output_folder(config: FinetuningConfig) -> Path:
    """Return where a new run is written: the default, if it is in use, with a number.

    Raises:
        OutputError: it is in use; of a run that can be resumed, it says so.
    """
    folder = Path(config.output_dir).expanduser()
    if config.sources["output_dir"] == "default":
        return free_folder(folder)
    refuse_taken(folder)
    return folder
