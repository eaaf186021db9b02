"""A close look at single rows, by the base before a run and by what is tuned after."""

import numpy as np
from numpy.typing import NDArray

from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.checkpoints import Snapshot
from xturing.train.evaluation import held_out_score
from xturing.train.objectives.base import Objective, Units
from xturing.train.objectives.kto import JudgedUnit
from xturing.train.objectives.pairs import Compared
from xturing.train.observed import Observed
from xturing.train.report import Findings
from xturing.train.reporting.forensics import examine
from xturing.train.reporting.samples import as_base, ask, choose, paired
from xturing.train.reporting.verdict import judge


class Look:
    """What is asked of both models.

    A run that goes on asks what it asked at its start: the base may be out of reach.
    """

    def __init__(
        self,
        model: BaseModel,
        config: FinetuningConfig,
        objective: Objective,
        held_out: Units | None,
        observed: Observed,
        resumed: Snapshot | None,
    ) -> None:
        self._model = model
        self._config = config
        self._objective = objective
        self._held_out = held_out
        self._observed = observed
        units = held_out.units if held_out else ()
        self._questions = choose(
            [shown for unit in units if (shown := shown_of(unit)) is not None],
            config.report_samples if resumed is None else len(resumed.answers),
            context_length=model.engine.context_length,
            seed=config.seed,
        )

    def at_base(self, *, was_adapted: bool) -> None:
        """Ask the model as it is before the first step, any adapter switched off.

        A fresh adapter changes nothing, so the first validation is the base's score.
        Only one that was there before makes it be scored here.
        """
        with as_base(self._model):
            self._observed.answers = ask(self._model, self._questions)
            if was_adapted and self._held_out is not None:
                score = held_out_score(
                    self._model.engine.model,
                    self._held_out.units,
                    self._objective,
                    batch_size=self._config.batch_size,
                )
                self._observed.base = score.rows

    def at_tuned(self, rows: BaseDataset, measure: str) -> Findings:
        """Return what comes of it, when the run has ended.

        `rows` are those that were learnt from, `measure` is what a loss is of.
        """
        observed = self._observed
        verdict = None
        if observed.base is not None and observed.latest is not None:
            seed = self._config.seed
            verdict = judge(observed.base, observed.latest, measure=measure, seed=seed)
        answers = ask(self._model, self._questions)
        is_smoothed = measure == "token" and self._config.label_smoothing > 0
        return Findings(
            verdict=verdict,
            samples=paired(self._model, self._questions, observed.answers, answers),
            forensics=examine(self.row_losses, rows, is_smoothed=is_smoothed),
        )

    @property
    def row_losses(self) -> NDArray[np.float64]:
        """Loss of each training row in each epoch, of shape (epochs, rows)."""
        return self._observed.history.means()


def shown_of(unit: Example | Compared | JudgedUnit) -> Example | None:
    """Return what a sample shows of a unit: the answer that is wanted, if any is."""
    match unit:
        case Compared():
            return unit.chosen
        case JudgedUnit():
            return unit.answer if unit.is_wanted else None
    return unit
