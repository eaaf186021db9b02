"""A fine-tuning run: rows to examples, examples to steps, steps to a saved model."""

from dataclasses import replace
from pathlib import Path

from xturing.core.errors import SettingsError
from xturing.core.events import tell
from xturing.core.files import fill_folder, free_folder, refuse_used, write_json
from xturing.data.datasets import BaseDataset, open_dataset
from xturing.data.encoding import Encoded, encode
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.events import TrainingStarted
from xturing.train.recorder import Recorder
from xturing.train.report import (
    LEDGER_FILE,
    ROWS_FILE,
    FinetuneReport,
    ledgers,
    summarise,
)
from xturing.train.reporting.card import origin
from xturing.train.reporting.looking import Look
from xturing.train.reporting.papers import write_papers
from xturing.train.row_losses import write_row_losses
from xturing.train.runner import Loggers, Run, carry_out, listed, own_randomness
from xturing.train.schedule import Epochs, plan_run
from xturing.train.trackers import require_trackers, tracking


def finetune(
    model: BaseModel,
    dataset: object,
    *,
    logger: Loggers = True,
    eval_dataset: object | None = None,
) -> FinetuneReport:
    """Fine-tune a model with its `finetuning_config()` and save it to `output_dir`.

    `dataset` is a dataset, or anything that one is made from. Without `eval_dataset`, a
    part of the rows is held out (`validation_split`). `logger` is a Lightning logger or
    several; metrics.jsonl is written in any case. The model is changed in place.

    Raises:
        DataError: a row cannot be used.
        SettingsError: settings do not fit the model or the data.
        MissingDependencyError: a tracker is not installed.
        OutputError: `output_dir` is in use.
        LedgerError: other tokens entered the loss than were to be learnt.
    """
    config = model.finetuning_config().model_copy(deep=True)
    require_trackers(config)
    folder = _output_folder(config)
    _refuse_too_long(model, config)
    rows, held_out_rows = _divided(config, dataset, eval_dataset)
    training = _encoded(model, config, rows)
    held_out = _encoded(model, config, held_out_rows) if held_out_rows else None
    plan = plan_run(len(training.examples), config)
    epochs = Epochs(training.examples, config, model.engine.pad_id)
    padding = sum(micro.batch.padding for micro in epochs)
    training = replace(training, ledger=training.ledger.padded(padding))
    was_adapted = model.has_adapter
    with own_randomness(config.seed):
        model.prepare_training()
    # From here on, what the user gave is known to fit together.
    started = TrainingStarted(
        steps=plan.steps,
        ledger=training.ledger,
        validation_ledger=held_out.ledger if held_out else None,
        output_dir=folder,
    )
    write_json(folder / LEDGER_FILE, ledgers(started))
    look = Look(model, config, rows, held_out)
    with Recorder(folder, config.logging_steps) as recorder:
        run = Run(model, config, plan, epochs, held_out, recorder, folder)
        tell(started)
        look.at_base(was_adapted=was_adapted)
        with tracking(config, folder) as trackers:
            fact = carry_out(run, [*listed(logger), *trackers])
    # What was learnt is kept before anything else is done with it.
    with fill_folder(folder) as draft:
        model.write_to(draft)
    means = fact.history.means(len(rows))
    findings = look.at_tuned(recorder.scores, means)
    report = summarise(model, config, started, recorder, fact, findings)
    with fill_folder(folder) as draft:
        write_json(draft / LEDGER_FILE, ledgers(started, report.run_ledger))
        write_row_losses(draft / ROWS_FILE, means, rows)
        write_papers(draft, report, origin(model, rows.origin))
    return report


def _divided(
    config: FinetuningConfig, dataset: object, eval_dataset: object | None
) -> tuple[BaseDataset, BaseDataset | None]:
    """Return the rows to learn from and those held out."""
    training = _opened(dataset)
    if eval_dataset is not None:
        return training, _opened(eval_dataset)
    count = _held_out_rows(len(training), config)
    return training.split(count, config.seed) if count else (training, None)


def _encoded(model: BaseModel, config: FinetuningConfig, part: BaseDataset) -> Encoded:
    cache = config.encoding_cache
    return encode(
        part,
        model.engine.tokenizer,
        max_length=config.max_length,
        length_policy=config.length_policy,
        workers=config.encoding_workers,
        cache=None if cache is None else Path(cache).expanduser(),
    )


def _refuse_too_long(model: BaseModel, config: FinetuningConfig) -> None:
    context = model.engine.context_length
    if context is not None and config.max_length > context:
        raise SettingsError(
            f"max_length is {config.max_length}, but '{model.config_name}' reads at "
            f"most {context} tokens. Set max_length to {context} or less."
        )


def _opened(dataset: object) -> BaseDataset:
    return dataset if isinstance(dataset, BaseDataset) else open_dataset(dataset)


def _held_out_rows(rows: int, config: FinetuningConfig) -> int:
    return min(int(rows * config.validation_split), config.validation_limit)


def _output_folder(config: FinetuningConfig) -> Path:
    """Return where the run is written: the default, if it is in use, with a number."""
    folder = Path(config.output_dir).expanduser()
    if config.sources["output_dir"] == "default":
        return free_folder(folder)
    refuse_used(folder)
    return folder
