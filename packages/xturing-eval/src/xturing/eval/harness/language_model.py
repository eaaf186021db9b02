"""A model of ours in the place where lm-eval expects a language model of its own.

It has the same tokens as HFLM, lm-eval's own model class for transformers, and cuts
what is too long in the same way, so that both come to the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from jinja2 import TemplateError

from xturing.core.errors import DataError, ModelError, SettingsError
from xturing.core.events import Notice, tell
from xturing.eval.harness.surroundings import library
from xturing.eval.harness.writing import Manner, write
from xturing.eval.keeping import Found, Kept, key_of, work_through
from xturing.eval.passages import Passage
from xturing.eval.scoring import Group, Scorer
from xturing.models.base import GENERATION_BATCH, BaseModel

Request = tuple[Any, list[int], list[int]]
"""What lm-eval knows it by, the ids of a context, and those of its continuation."""


class XTuringLM(library("api.model").TemplateLM):
    """A model as lm-eval asks it: `lm_eval.simple_evaluate(model=XTuringLM(model))`.

    A batch has `batch_size` rows; if it is not set, answers are written 8 at a time,
    and scores take as many rows as compute fastest.

    Raises:
        SettingsError: a batch is to have no rows.
    """

    def __init__(self, model: BaseModel, *, batch_size: int | None = None) -> None:
        super().__init__()
        self.tokenizer = model.engine.tokenizer
        self._checkpoint = model.engine
        self._scorer = Scorer(model.engine, batch_size=batch_size)
        self._batch_size = batch_size or GENERATION_BATCH
        self._has_told_of_system = False

    @property
    def eot_token_id(self) -> int | None:
        """Id of the token that ends texts."""
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """Id of the token that stands for an empty context."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return token
        raise ModelError(
            "The tokenizer has no start and no end token, so that nothing can stand "
            "before the first token of a text. Give it one of them."
        )

    @property
    def max_length(self) -> int:
        """Most tokens that the model reads."""
        resolve = library("models.utils").resolve_max_length
        return resolve(self._checkpoint.model.config, self.tokenizer)

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval tells apart tokenizers by."""
        return self.tokenizer.name_or_path.replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Return a text's ids, with the tokens that the tokenizer adds by itself.

        A text that begins with the start token gets no second one.
        """
        if add_special_tokens is None and string.startswith(
            self.tokenizer.decode(self.prefix_token_id)
        ):
            add_special_tokens = False
        options = (
            {}
            if add_special_tokens is None
            else {"add_special_tokens": add_special_tokens}
        )
        return self.tokenizer.encode(string, verbose=False, **options)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a chat as the template writes it.

        What is said to the system is left out, and that is told, where the template
        refuses it.

        Raises:
            ModelError: there is no chat template, or it refuses the chat all the same.
        """
        if not self.tokenizer.chat_template:
            raise ModelError(
                "The model has no chat template. Give it one (chat_template='chatml', "
                "llama3, … or a .jinja file), or leave apply_chat_template off."
            )
        rest = [each for each in chat_history if each["role"] != "system"]
        try:
            return self._rendered(chat_history, add_generation_prompt)
        except TemplateError as error:
            if len(rest) == len(chat_history):
                raise ModelError(f"The chat template refuses this: {error}") from error
        if not self._has_told_of_system:
            self._has_told_of_system = True
            text = "The chat template takes no system message, so tasks go without."
            tell(Notice(text=text))
        return self.apply_chat_template(rest, add_generation_prompt)

    def _rendered(self, chat: list[dict[str, str]], add_generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            chat,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Return how likely each continuation is, and whether it is the likeliest.

        That is its log-probability in nats, and whether greedy decoding writes it.

        Raises:
            DataError: a continuation is empty, or longer than the model reads.
        """
        for request in requests:
            _refuse_empty(request.args[1], request.args[0])
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = True
    ) -> list[float]:
        """Return how likely each text is, in nats, window by window if it is long."""
        utils = library("utils")
        texts = [
            [
                utils.make_disjoint_window(window)
                for window in utils.get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                )
            ]
            for request in requests
        ]
        windows = [(None, *window) for text in texts for window in text]
        found = iter(self._loglikelihood_tokens(windows))
        return [math.fsum(next(found)[0] for _ in text) for text in texts]

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], **_: object
    ) -> list[tuple[float, bool]]:
        most = self.max_length + 1
        lengths = [len(context) + len(ids) for _, context, ids in requests]
        self._tell_of_cut(sum(length > most for length in lengths), len(requests))
        passages = [_passage(context, ids, most) for _, context, ids in requests]
        batches = [
            partial(self._score, passages, groups)
            for groups in self._scorer.plan(passages)
        ]
        found = work_through("likelihoods", Kept(None, ""), batches)
        return [found[index] for index in range(len(passages))]

    def _score(self, passages: Sequence[Passage], groups: Sequence[Group]) -> Found:
        scored = self._scorer.score(passages, groups)
        for each in scored.values():
            if not math.isfinite(each.nats):
                raise ModelError(
                    f"A log-probability is {-each.nats}. The model's weights or "
                    "numbers are broken (NaN or infinite); no score of it can be "
                    "trusted."
                )
        return {
            index: (-each.nats, bool(each.is_likeliest.all()))
            for index, each in scored.items()
        }

    def generate_until(
        self, requests: Sequence[Any], disable_tqdm: bool = True
    ) -> list[str]:
        """Return what the model makes of each context, up to a stop string.

        Raises:
            SettingsError: a task leaves no room for its contexts.
        """
        end = self.eot_token_id
        end_text = None if end is None else self.tokenizer.decode(end)
        prompts = [
            self.tok_encode(request.args[0]) or [self.prefix_token_id]
            for request in requests
        ]
        alike: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            alike.setdefault(key_of(request.args[1]), []).append(index)
        batches, cut = [], 0
        for indices in alike.values():
            manner = Manner.of(requests[indices[0]].args[1], end_text)
            room = self._room(manner)
            cut += sum(len(prompts[index]) > room for index in indices)
            indices.sort(key=lambda i: (-len(prompts[i]), requests[i].args[0]))
            for start in range(0, len(indices), self._batch_size):
                part = indices[start : start + self._batch_size]
                shown = {index: prompts[index][-room:] for index in part}
                batches.append(partial(self._write, shown, manner))
        self._tell_of_cut(cut, len(requests))
        found = work_through("answers", Kept(None, ""), batches)
        return [found[index] for index in range(len(requests))]

    def _write(self, prompts: Mapping[int, list[int]], manner: Manner) -> Found:
        written = write(self._checkpoint, list(prompts.values()), manner)
        return dict(zip(prompts, written, strict=True))

    def _room(self, manner: Manner) -> int:
        room = self.max_length - manner.max_new_tokens
        if room < 1:
            raise SettingsError(
                f"A task asks for {manner.max_new_tokens:,} new tokens, but the model "
                f"reads {self.max_length:,} in all. Set max_gen_toks lower in the "
                "task's generation_kwargs."
            )
        return room

    def _tell_of_cut(self, cut: int, count: int) -> None:
        if cut:
            text = (
                f"{cut:,} of {count:,} requests were cut at their beginning, since "
                f"the model reads {self.max_length:,} tokens with what is to follow."
            )
            tell(Notice(text=text))


def _refuse_empty(continuation: str | Sequence[int], context: object) -> None:
    if not continuation:
        raise DataError(
            f"A task asks how likely an empty text is after {context!r:.80}. Each of "
            "its choices or targets has to hold something that is not in the prompt."
        )


def _passage(context: list[int], ids: list[int], most: int) -> Passage:
    """Return the last `most` tokens, of which the continuation is scored."""
    _refuse_empty(ids, context)
    if len(ids) >= most:
        raise DataError(
            f"A task asks how likely {len(ids):,} tokens are, but the model reads "
            f"{most - 1:,}. Only the output type loglikelihood_rolling takes texts of "
            "any length."
        )
    return Passage.continued(context[-(most - len(ids)) :], ids)
