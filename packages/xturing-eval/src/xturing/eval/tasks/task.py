"""A task as its YAML file has it; knows nothing of rows or models."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from xturing.core.names import suggestion
from xturing.core.settings import Layer, Settings, read_yaml
from xturing.eval.tasks.templates import check

Text = Annotated[str, Field(min_length=1)]
Template = Annotated[str, AfterValidator(check)]
"""Jinja over the columns of a row; `row` is the whole of it."""
Expression = Text
"""A column, or a Jinja expression over columns, such as choices.text."""
Count = Annotated[int, Field(ge=1)]


class Turn(Settings):
    """A message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: Template


class Task(Settings):
    """What is asked of a model, and how its answers are measured."""

    model_config = ConfigDict(validate_default=True)

    name: Text
    version: Count
    """Goes up whenever rows or wording change: figures of two versions do not
    compare."""
    description: Text
    """What is asked, in a sentence."""
    licence: str = ""
    """Of the rows."""
    source_note: str = ""
    """Where the rows are from."""

    folder: Path | None = Field(default=None, exclude=True)
    """Where relative paths begin: the task's own folder if it is read from a file."""
    data: Text
    """The rows: a file, a folder or the id of a dataset of the hub."""
    data_config: Text | None = None
    """Which part of a dataset of the hub, where it has several configurations."""
    source: Text | None = None
    """The name of a source in `xturing.data.sources.SOURCES`."""
    split: Text | None = None
    """The split to ask; None for the one to train on."""

    prompt: Template | None = None
    """A text that the model continues as it stands; one newline at its end is dropped,
    as YAML adds one. Empty where the target is a text by itself."""
    messages: Annotated[list[Turn], Field(min_length=1)] | None = None
    """A chat that the model answers, in place of a prompt."""
    delimiter: str = " "
    """What stands between a prompt and an answer; chats have none."""
    target: Text | None = None
    """The right answer: an expression, or a template. Of a list, the first one."""
    choices: list[Template] | Expression | None = None
    """Answers of which one is right: templates, or an expression for a list."""
    right: Expression | Annotated[int, Field(ge=0)] | None = None
    """An expression for the right choice: its index, its letter from A on, or its
    text."""

    few_shot: Annotated[int, Field(ge=0)] = 0
    """Rows with their answers that stand before each question."""
    few_shot_data: Text | None = None
    """Where these are from; None for the same data, and never the row itself."""
    few_shot_split: Text | None = None
    """The split they are from."""

    metrics: list[str | dict[str, dict[str, Any]]] = Field(default_factory=list)
    """Names, or {name: {option: value}}, the foremost first; none for those that suit
    the rows."""
    max_new_tokens: Count = 128
    """Most tokens of an answer."""
    stop: list[Text] = Field(default_factory=list)
    """Texts before which an answer is cut."""
    samples: Count = 1
    """Answers a question."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Divides the logits before tokens are drawn; None for the likeliest token."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the task of a YAML file.

        Raises:
            SettingsError: it is not YAML, or no task; the message names the field.
        """
        layer = read_yaml(path)
        values = {"folder": path.parent, **layer.values}
        return cls.resolve(Layer(source=layer.source, values=values))

    @property
    def metric_options(self) -> dict[str, dict[str, Any]]:
        """The options of each metric by its name."""
        named = [{each: {}} if isinstance(each, str) else each for each in self.metrics]
        return {name: options for each in named for name, options in each.items()}

    @field_validator("prompt", "messages")
    @classmethod
    def _asks_in_one_way(cls, value: object, info: ValidationInfo) -> object:
        other = "messages" if info.field_name == "prompt" else "prompt"
        if other in info.data and (value is None) == (info.data[other] is None):
            raise ValueError(
                "a task has either a prompt (a text to be continued) or messages (a "
                "chat), exactly one of them"
            )
        return value

    @field_validator("messages")
    @classmethod
    def _leaves_the_answer(cls, value: list[Turn] | None) -> list[Turn] | None:
        if value and value[-1].role != "user":
            raise ValueError(
                "the last message has to be the user's; what is right is the 'target'"
            )
        return value

    @field_validator("target")
    @classmethod
    def _can_be_filled_in(cls, value: str | None) -> str | None:
        return value if value is None else check(value)

    @field_validator("choices", "right")
    @classmethod
    def _tells_which_is_right(cls, value: object, info: ValidationInfo) -> object:
        other = "right" if info.field_name == "choices" else "choices"
        if other in info.data and (value is None) != (info.data[other] is None):
            raise ValueError(
                "choices need 'right', which tells the right one, and the other way "
                "round"
            )
        return value

    @field_validator("few_shot")
    @classmethod
    def _has_answers_to_show(cls, value: int, info: ValidationInfo) -> int:
        known = info.data
        if value and known.get("target") is None and known.get("choices") is None:
            raise ValueError("examples need a 'target' or 'choices' to show an answer")
        return value

    @field_validator("samples", "temperature")
    @classmethod
    def _draws_samples(cls, value: object, info: ValidationInfo) -> object:
        values = {"temperature": 1.0, **info.data, info.field_name: value}
        if values.get("samples", 1) > 1 and values["temperature"] is None:
            raise ValueError(
                "several samples need a temperature, such as 0.7: without one they "
                "would all be the same"
            )
        return value

    @field_validator("metrics")
    @classmethod
    def _measures_what_is_known(cls, value: list[Any]) -> list[Any]:
        from xturing.eval.metrics import METRICS

        for each in value:
            if isinstance(each, dict) and len(each) != 1:
                raise ValueError(
                    "a metric with options is written {name: {option: value}}"
                )
            name = each if isinstance(each, str) else next(iter(each))
            if name not in METRICS:
                raise ValueError(
                    f"there is no metric '{name}' ({suggestion(name, METRICS)})"
                )
        return value
