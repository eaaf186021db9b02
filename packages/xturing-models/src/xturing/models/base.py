"""`BaseModel`: a model by name, from its first load to its saved folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, overload

from xturing.core.errors import ModelError, SettingsError
from xturing.core.extras import service
from xturing.core.files import new_folder, sha256, write_json
from xturing.core.registry import Registry
from xturing.core.settings import Layer, Settings
from xturing.models import legacy
from xturing.models.device import default_device
from xturing.models.folders import CARD_FILE, SCHEMA_VERSION, Card, weight_files
from xturing.models.opening import Opening, by_name, from_folder
from xturing.models.quantization import Quantization
from xturing.models.settings import FinetuningConfig, GenerationConfig
from xturing.models.variant import Variant, variant_scheme
from xturing.quant.schemes import SKIP

if TYPE_CHECKING:
    from xturing.models.checkpoint import Checkpoint
    from xturing.models.generation import Answer, Prompt
    from xturing.quant.calibration import Rows

SAVED = "saved model"
GENERATION_BATCH = 8


class Prompts(Protocol):
    """A dataset, as far as generation needs it."""

    def prompts(self) -> "Sequence[Prompt]":
        """Return what is to be continued for each row."""
        ...


class BaseModel:
    """A language model of a named variant, with its tokenizer and settings.

    `name` is a variant such as "smollm2_lora". `weights_path` opens a local folder or
    GGUF file in place of the family's own checkpoint; the generic variants need it, or
    `model_name`, which may be a hub id too. `chat_template` is a bundled template's
    name or a .jinja file that takes the place of the tokenizer's own. `backend`,
    `group_size` and `skip` are those of `xturing.quant.quantize`, for variants whose
    weights are quantized.

    Raises:
        UnknownNameError: there is no such variant.
        ModelError: the weights cannot be opened.
        DownloadError: they are not here and cannot be fetched.
    """

    def __init__(
        self,
        name: str,
        *,
        model_name: str | None = None,
        target_modules: Sequence[str] | None = None,
        weights_path: str | Path | None = None,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
        backend: str | None = None,
        group_size: int | None = None,
        skip: Sequence[str] | None = None,
    ) -> None:
        weights = weights_path or model_name
        chosen = skip if skip is None else tuple(skip)
        said = {"backend": backend, "group_size": group_size, "skip": chosen}
        given = {name: value for name, value in said.items() if value is not None}
        self._adopt(by_name(name, weights, chat_template, trust_remote_code, given))
        if target_modules is not None:
            self.configure(
                finetuning=Layer(
                    source="target_modules",
                    values={"lora_targets": tuple(target_modules)},
                )
            )

    def _adopt(self, opening: Opening, *, any_template: bool = False) -> None:
        """Load what an opening leads to, and take on its settings."""
        from xturing.models.checkpoint import open_checkpoint
        from xturing.models.lora import open_adapter, settings
        from xturing.models.template import verify

        self.variant = opening.variant
        self._opening = opening
        self._finetuning = opening.variant.finetuning_config()
        self._generation = opening.variant.generation_config()
        self.engine: Checkpoint = open_checkpoint(
            opening.location,
            default_device(),
            tokenizer_folder=opening.tokenizer,
            family=opening.variant.family,
            chat_template=opening.chat_template,
            trust_remote_code=opening.trust_remote_code,
            quantization=opening.quantization,
        )
        self.training_data: str | None = None
        """What the rows are called that the model was last tuned on."""
        if opening.adapter is not None:
            self.engine.model = open_adapter(self.engine.model, opening.adapter)
            self.engine.model.eval()
            made_with = Layer(source=SAVED, values=settings(self.engine.model))
            self.configure(finetuning=made_with)
        if opening.card is not None:
            self._restore(opening.card)
        if opening.card is not None and opening.card.template and not any_template:
            verify(self.engine.tokenizer, opening.card.template)

    def _restore(self, card: Card) -> None:
        tuning, writing = dict(card.finetuning_config), card.generation_config
        self.training_data = card.training_data
        # Where a run was written, and took place, is no property of its model.
        for place in (
            "output_dir",
            "encoding_cache",
            "devices",
            "num_nodes",
            "strategy",
        ):
            tuning.pop(place, None)
        if card.is_legacy:
            tuning = legacy.accepted(FinetuningConfig, tuning)
            writing = legacy.accepted(GenerationConfig, writing)
        self.configure(
            finetuning=_known(FinetuningConfig, tuning),
            generation=_known(GenerationConfig, writing),
        )

    @classmethod
    def create(cls, name: str, **options: Any) -> "BaseModel":
        """Return the model of a variant, or of a name given to `add_to_registry`.

        The options are those of the class.
        """
        if name in MODELS:
            return MODELS[name](**options)
        return BaseModel(name, **options)

    @classmethod
    def add_to_registry(cls, name: str, factory: "Callable[..., BaseModel]") -> None:
        """Have `create(name)` call `factory`.

        Raises:
            SettingsError: the name is taken.
        """
        if Variant.find(name) is not None:
            raise SettingsError(f"'{name}' is a model already; choose another name.")
        MODELS.add(name, factory)

    @classmethod
    def load(
        cls, path: str | Path, *, base: str | None = None, any_template: bool = False
    ) -> "BaseModel":
        """Return the model in a folder: one of ours, of transformers or of peft.

        `base` says where an adapter's base model is, if it has moved. The folder's own
        settings are restored, and its prompts are checked against the saved ones,
        unless `any_template` is on.

        Raises:
            ModelError: the folder holds no model, or one that was tampered with.
        """
        model = cls.__new__(cls)
        opening = from_folder(Path(path).expanduser().absolute(), base)
        model._adopt(opening, any_template=any_template)
        return model

    @property
    def config_name(self) -> str:
        """The variant's name."""
        return self.variant.name

    @property
    def base_folder(self) -> Path:
        """The folder that the base weights were read from."""
        return self._opening.location.folder

    @property
    def adapter_folder(self) -> Path | None:
        """The folder that the adapter was read from, if it came from one."""
        return self._opening.adapter

    @property
    def base_checkpoint(self) -> str | None:
        """Hub id of what the model started from; None for files of the user's own."""
        opening = self._opening
        base = opening.base.checkpoint
        is_known = opening.location.is_hub_copy
        return base if is_known or base == self.variant.family.checkpoint else None

    def finetuning_config(self) -> FinetuningConfig:
        """Return how the model is fine-tuned; change it by assignment."""
        return self._finetuning

    def generation_config(self) -> GenerationConfig:
        """Return how the model writes; change it by assignment."""
        return self._generation

    def configure(
        self, *, finetuning: Layer | None = None, generation: Layer | None = None
    ) -> None:
        """Put settings on top of the model's own, and remember where they come from.

        Raises:
            SettingsError: a name is unknown or a value of the wrong type.
        """
        if finetuning:
            self._finetuning = self._finetuning.layered(finetuning)
        if generation:
            self._generation = self._generation.layered(generation)

    def finetune(self, dataset: Any, logger: Any = True, **options: Any) -> Any:
        """Fine-tune on a dataset with `finetuning_config()`; return the report.

        `logger` is a Lightning logger or several, in addition to metrics.jsonl. The
        options are those of `xturing.train.finetune`.

        Raises:
            MissingDependencyError: xturing-train is not installed.
        """
        trainer = service("xturing.trainers", "supervised", "xturing-train")
        return trainer(self, dataset, logger=logger, **options)

    def evaluate(self, dataset: Any, batch_size: int | None = None) -> float:
        """Return the perplexity of a dataset's learnt tokens.

        That is exp(total loss in nats / number of learnt tokens), whatever the batch
        size; without one, as many rows go together as compute fastest.

        Raises:
            MissingDependencyError: xturing-eval is not installed.
        """
        return self._evaluator("perplexity")(self, dataset, batch_size=batch_size)

    def completion_query(self, prompt: "Prompt") -> tuple[str, "Prompt"]:
        """Return the model's answer to a prompt, and the prompt.

        Raises:
            MissingDependencyError: xturing-eval is not installed.
        """
        return self._evaluator("completion_query")(self, prompt)

    def check_sampled_text(
        self,
        prompt: "Prompt",
        expected: str | Sequence[str],
        *,
        options: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return what the model answers, and whether that begins as expected.

        The arguments are those of `xturing.eval.check_sampled_text`.

        Raises:
            MissingDependencyError: xturing-eval is not installed.
        """
        check = self._evaluator("check_sampled_text")
        return check(self, prompt, expected, options=options)

    def eval_sample(self, sample: Mapping[str, str]) -> dict[str, Any]:
        """Return what the model answers to a row, and whether that is its target.

        Raises:
            MissingDependencyError: xturing-eval is not installed.
        """
        return self._evaluator("eval_sample")(self, sample)

    def eval_all_samples(
        self, samples: Any, show_progress: bool = True
    ) -> list[dict[str, Any]]:
        """Return for each row what `eval_sample` does, in order.

        Raises:
            MissingDependencyError: xturing-eval is not installed.
        """
        evaluator = self._evaluator("eval_all_samples")
        return evaluator(self, samples, show_progress=show_progress)

    @staticmethod
    def _evaluator(name: str) -> Callable[..., Any]:
        return service("xturing.evaluators", name, "xturing-eval")

    @overload
    def generate(
        self, *, texts: str, batch_size: int = ..., raw: bool = ...
    ) -> str: ...

    @overload
    def generate(
        self,
        *,
        texts: list[str] | tuple[str, ...] | None = ...,
        dataset: Prompts | None = ...,
        batch_size: int = ...,
        raw: bool = ...,
    ) -> list[str]: ...

    def generate(
        self,
        *,
        texts: str | Sequence[str] | None = None,
        dataset: Prompts | None = None,
        batch_size: int = GENERATION_BATCH,
        raw: bool = False,
    ) -> str | list[str]:
        """Return the model's answers: a string for one string, else a list in order.

        Each text is one question, written as the chat template says; with `raw` it is
        continued as it stands. The rows of a dataset give their prompts, never their
        answers.

        Raises:
            SettingsError: there is nothing to answer.
        """
        answers = self.answers(
            texts=texts, dataset=dataset, batch_size=batch_size, raw=raw
        )
        written = [answer.text for answer in answers]
        return written[0] if isinstance(texts, str) and dataset is None else written

    def answers(
        self,
        *,
        texts: str | Sequence[str] | None = None,
        dataset: Prompts | None = None,
        batch_size: int = GENERATION_BATCH,
        raw: bool = False,
    ) -> "list[Answer]":
        """Do as `generate`, and tell of each answer whether it came to its end."""
        from xturing.models.generation import generate, prompt_tokens

        tokenizer = self.engine.tokenizer
        ids = [
            prompt_tokens(tokenizer, text, raw=raw) for text in _texts(texts, dataset)
        ]
        # A row's text without a chat around it is there to be continued.
        rows = dataset.prompts() if dataset is not None else []
        ids += [prompt_tokens(tokenizer, prompt, raw=True) for prompt in rows]
        return generate(self.engine, ids, self._generation, batch_size)

    def stream(self, prompt: "Prompt", *, raw: bool = False) -> Iterator[str]:
        """Yield one answer's text as it is written.

        `prompt` is a question, or the messages so far as dicts of role and content.
        """
        from xturing.models.generation import prompt_tokens, stream

        ids = prompt_tokens(self.engine.tokenizer, prompt, raw=raw)
        return stream(self.engine, ids, self._generation)

    def prepare_training(self) -> Any:
        """Return the torch model with just those parameters trainable that shall be.

        A LoRA variant gets its adapter here, with the settings of that moment.

        Raises:
            SettingsError: the model has another adapter, or LoRA is set up for a
            variant
                without it.
        """
        from xturing.models import lora

        config = self._finetuning
        if self.variant.adapter == "lora":
            if lora.is_adapted(self.engine.model):
                lora.refuse_other(self.engine.model, config)
            else:
                folder = self._opening.location.folder
                self.engine.model = lora.attach(self.engine.model, config, folder)
        else:
            self._refuse_quantized()
            lora.refuse_unused(config, self.variant.family.name, passive=SAVED)
            # Weights that are trained are kept in full precision.
            self.engine.model = self.engine.model.float().requires_grad_(True)
        return self.engine.model

    def _refuse_quantized(self) -> None:
        """Raise `SettingsError` if there is nothing that could be trained."""
        if self.engine.quantization is None:
            return
        adapted = Variant(self.variant.family, "lora", self.variant.scheme)
        raise SettingsError(
            f"'{self.variant.name}' keeps its weights in "
            f"{self.engine.quantization.scheme}, and rounded weights cannot be trained "
            f"themselves. Use '{adapted.name}', which trains an adapter on top of them."
        )

    def quantize(
        self,
        scheme: str,
        backend: str = "auto",
        *,
        group_size: int | None = None,
        skip: Sequence[str] = SKIP,
        calibration: "Rows | None" = None,
    ) -> "BaseModel":
        """Return a model like this one with quantized weights; this one stays.

        The arguments are those of `xturing.quant.quantize`; `calibration` has token ids
        of shape (1, seq).

        Raises:
            QuantizationError: it cannot be done so, or is done already.
            ModelError: the model has an adapter that is not merged.
        """
        from xturing.models import packing

        if self.has_adapter:
            raise ModelError(
                f"'{self.variant.name}' has an adapter. Merge it first, so that the "
                "merged weights are quantized: model.merge().quantize(...)."
            )
        wanted = Quantization(
            scheme=scheme, backend=backend, group_size=group_size, skip=tuple(skip)
        )
        settled = packing.settled(wanted, self.engine.device.name)
        model = packing.quantized(self.engine.model, settled, calibration)
        made = copy(self)
        made.engine = replace(
            self.engine, model=model, quantization=packing.kept(settled)
        )
        made.variant = Variant(self.variant.family, "none", variant_scheme(scheme))
        return made

    def merge(self) -> Self:
        """Work the adapter into the weights, so that the model stands alone.

        Quantized weights are dequantized for it and stay so: rounding them again would
        lose much of the adapter.

        Raises:
            ModelError: it has no adapter.
        """
        from xturing.models import lora

        if not self.has_adapter:
            raise ModelError(f"'{self.variant.name}' has no adapter to merge.")
        self.engine.model = lora.merged(self.engine.model)
        self.engine.quantization = None
        self.variant = Variant(self.variant.family)
        return self

    def merged(self) -> "BaseModel":
        """Return a model like this one with its adapter merged; this one stays.

        The two share the weights that the adapter does not change.

        Raises:
            ModelError: it has no adapter.
        """
        from xturing.models import lora

        made = copy(self)
        if self.has_adapter:
            made.engine = replace(self.engine, model=lora.apart(self.engine.model))
        return made.merge()

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter is beside the weights, which `merge` works into them."""
        from xturing.models import lora

        return lora.is_adapted(self.engine.model)

    @property
    def quantization(self) -> Quantization | None:
        """How the weights are quantized; None: they are whole."""
        return self.engine.quantization

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model to a folder that `load`, transformers and peft can open.

        A LoRA variant writes its adapter alone.

        Raises:
            OutputError: the folder is in use and `overwrite` is off.
        """
        with new_folder(Path(path).expanduser(), overwrite=overwrite) as draft:
            self.write_to(draft)

    def write_to(self, draft: Path) -> None:
        """Write the model's files into a folder that is there."""
        from xturing.models.quiet import without_progress_bars
        from xturing.models.template import fingerprint

        if self.variant.adapter != "none":
            model = self.prepare_training()
            peft_config = model.peft_config["default"]
            location = self._opening.location
            peft_config.base_model_name_or_path = location.opens_elsewhere
        with without_progress_bars():
            self.engine.model.save_pretrained(draft)
            self.engine.tokenizer.save_pretrained(draft)
        quantization = self.engine.quantization
        card = Card(
            schema_version=SCHEMA_VERSION,
            model_name=self.variant.name,
            base=self._opening.base,
            finetuning_config=self._finetuning.model_dump(mode="json"),
            generation_config=self._generation.model_dump(mode="json"),
            template=fingerprint(self.engine.tokenizer),
            quantization=quantization.to_card() if quantization else None,
            training_data=self.training_data,
            files={file.name: sha256(file) for file in weight_files(draft)},
            trust_remote_code=self._opening.trust_remote_code,
        )
        write_json(draft / CARD_FILE, card.model_dump(mode="json"))


MODELS: Registry[Callable[..., BaseModel]] = Registry("model", "xturing.models")


def open_model(reference: str, **options: Any) -> BaseModel:
    """Return the model of a saved folder, or else of a variant's name."""
    path = Path(reference).expanduser()
    if path.is_dir() or reference.startswith((".", "/", "~")):
        return BaseModel.load(path, **options)
    return BaseModel.create(reference, **options)


def _known(kind: type[Settings], values: dict[str, Any]) -> Layer:
    known = {name: values[name] for name in values if name in kind.model_fields}
    return Layer(source=SAVED, values=known)


def _texts(texts: str | Sequence[str] | None, dataset: Prompts | None) -> Sequence[str]:
    if texts is None and dataset is None:
        raise SettingsError("There is nothing to answer: pass texts or a dataset.")
    listed = [texts] if isinstance(texts, str) else list(texts or [])
    for text in listed:
        if not isinstance(text, str):
            raise SettingsError(
                f"texts holds {text!r} ({type(text).__name__}); it is a string or a "
                "list of strings."
            )
    return listed
