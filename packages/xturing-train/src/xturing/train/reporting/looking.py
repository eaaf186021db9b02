"""A close look at single rows, by the base before a run and by what is tuned after."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xturing.data.datasets import BaseDataset
from xturing.data.encoding import Encoded
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.evaluation import HeldOutLoss, held_out_loss
from xturing.train.report import Findings
from xturing.train.reporting.comparison import compare
from xturing.train.reporting.forensics import examine
from xturing.train.reporting.samples import as_base, ask, choose, paired


class Look:
    """What is asked of both models."""

    def __init__(
        self,
        model: BaseModel,
        config: FinetuningConfig,
        rows: BaseDataset,
        held_out: Encoded | None,
    ) -> None:
        self._model = model
        self._config = config
        self._rows = rows
        self._held_out = held_out
        self._base: HeldOutLoss | None = None
        self._questions = choose(
            held_out.examples if held_out else (),
            config.report_samples,
            context_length=model.engine.context_length,
            seed=config.seed,
        )

    def at_base(self, *, was_adapted: bool) -> None:
        """Ask the model as it is before the first step, any adapter switched off.

        A fresh adapter changes nothing, so the first validation is the base's score.
        Only one that was there before makes it be scored here.
        """
        with as_base(self._model):
            self._answers = ask(self._model, self._questions)
            if was_adapted and self._held_out is not None:
                self._base = held_out_loss(
                    self._model.engine.model,
                    self._held_out.examples,
                    pad_id=self._model.engine.pad_id,
                    batch_size=self._config.batch_size,
                )

    def at_tuned(
        self, scores: Sequence[HeldOutLoss], means: NDArray[np.float64]
    ) -> Findings:
        """Return what comes of it, with the first and last score of the run.

        `means` has the loss of each training row, of shape (epochs, rows).
        """
        comparison = None
        if scores:
            base = self._base or scores[0]
            seed = self._config.seed
            comparison = compare(base.rows, scores[-1].rows, seed=seed)
        answers = ask(self._model, self._questions)
        return Findings(
            comparison=comparison,
            samples=paired(self._model, self._questions, self._answers, answers),
            forensics=examine(means, self._rows),
        )
