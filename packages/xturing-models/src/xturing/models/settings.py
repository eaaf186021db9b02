"""What users can set about fine-tuning and about generating."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from xturing.core.quantities import read_duration, read_size
from xturing.core.settings import Settings

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _duration(value: object) -> object:
    return read_duration(value) if isinstance(value, str) else value


def _size(value: object) -> object:
    return read_size(value) if isinstance(value, str) else value


CONTRASTIVE_CANDIDATES = 4
"""Candidates of contrastive search where no `top_k` is set."""
LEAST_MEMORY = 1_000_000
"""Bytes; who sets less has left out the unit."""
Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
"""Seconds, or a text such as 30m."""
Size = Annotated[int, BeforeValidator(_size), Field(ge=LEAST_MEMORY)]
"""Bytes, or a text such as 12GB."""


class FinetuningConfig(Settings):
    """How a model is fine-tuned."""

    objective: Literal["auto", "sft", "dpo", "orpo", "kto"] = "auto"
    """What is learnt: answers or texts (sft), preferences (dpo, orpo) or judgements
    (kto). auto: by the kind of rows; dpo for preferences."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """dpo and kto: how dear it is to move away from the first model; 0.1 for both."""
    orpo_lambda: Annotated[float, Field(ge=0)] = 0.1
    """orpo: weight of the odds ratio beside the loss of chosen answers."""
    desirable_weight: Annotated[float, Field(ge=0)] = 1.0
    """kto: weight of answers that are wanted."""
    undesirable_weight: Annotated[float, Field(ge=0)] = 1.0
    """kto: weight of answers that are not."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """sft: share of each target that is spread over the vocabulary. dpo: share of the
    pairs that are taken to be the wrong way round."""
    neftune_alpha: Annotated[float, Field(gt=0)] | None = None
    """Size of the noise on embeddings while training (arXiv 2310.05914), such as 5."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """The highest learning rate of the run."""
    gradient_accumulation_steps: Positive = 1
    """Micro-batches per optimizer step; every learnt token of a step weighs the
    same."""
    batch_size: Positive = 1
    """Rows per micro-batch, as far as `micro_batch_tokens` does not decide; times
    `gradient_accumulation_steps`, the rows of an optimizer step."""
    micro_batch_tokens: Positive | Literal["auto"] | None = "auto"
    """Most tokens of a micro-batch, padding counted: the rows of an optimizer step are
    divided by it, whatever `batch_size` is. It decides speed and memory, not what is
    learnt. auto: 2048 on a CPU. None, and auto on a GPU: `batch_size` rows each."""
    compile_blocks: bool | Literal["auto"] = "auto"
    """Have the blocks compiled for training, in a run of one process. auto: on a
    CPU, if the run is long enough for the minute that it takes."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay; norms and biases are left out."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Optimizer steps over which the learning rate rises; a tenth of the run, and at
    most 50, if not set."""
    eval_steps: Positive = 5000
    """Optimizer steps between two validations; one is made at the start and the end."""
    save_steps: Positive = 5000
    """Optimizer steps between two checkpoints."""
    max_length: Annotated[int, Field(gt=1)] = 512
    """Most tokens that a row may have, its prompt and template included."""
    length_policy: Literal["error", "drop", "truncate", "keep-answer", "split"] = (
        "error"
    )
    """What happens to rows with more than `max_length` tokens: they are refused, left
    out, cut at their end, cut in the middle of their prompt or, if they are plain
    texts, divided. The ledger has what became of each."""
    encoding_workers: Positive = 1
    """Processes that encode the rows."""
    encoding_cache: str | None = None
    """Folder that keeps encoded rows, so that the same ones are not encoded again."""
    num_train_epochs: Positive = 1
    """Passes over the training rows."""
    max_steps: Positive | None = None
    """Optimizer steps after which the run ends; takes the place of the epochs."""
    max_time: Duration | None = None
    """How long the run may take, everything after loading the model included, such as
    30m or 1h30m. As many steps are taken as fit, in place of the epochs, and the
    schedule comes to its end with them; `max_steps` and epochs that you set are still
    not exceeded. Time decides then what is learnt: no two runs are the same."""
    max_memory: Size | None = None
    """Most memory that the run may take, the program's own included, such as 12GB.
    Micro-batches get smaller until they fit; if not even single rows do, there is
    gradient checkpointing, and else an error with the memory needed."""
    threads: Positive | Literal["auto"] | None = None
    """Threads that compute while training. None: torch's own number, by the cores or
    OMP_NUM_THREADS. auto: measured, so that other runs may have another number."""
    return_memory: bool | Literal["auto"] = "auto"
    """While training, give large blocks that are freed back to the system at once (on
    Linux with glibc), instead of keeping them for the next steps: up to a third less
    memory, for up to a third more time. auto: if `max_memory` is set. What is learnt is
    the same."""
    logging_steps: Positive = 10
    """Optimizer steps between two lines of metrics.jsonl."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Where metrics go beside metrics.jsonl; each is an extra of xturing-train."""
    report: bool = True
    """Whether the run ends with a report: report.html, report.md, a model card, and the
    losses of rows."""
    report_samples: Annotated[int, Field(ge=0)] = 3
    """Held-out rows that the report shows with the answers of the model before and
    after; 0: none."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 2.0
    """Largest L2 norm of the gradient; a longer one is scaled down. None: no limit."""
    save_total_limit: Positive = 4
    """Checkpoints that are kept; the oldest go first."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Keep only what blocks read, and compute the rest again for the gradients: less
    memory, a third more time, the same result. auto: not, unless memory demands it."""
    optimizer_name: Literal["adamw", "adam", "sgd", "adafactor", "cpu_adam"] = "adamw"
    """cpu_adam is DeepSpeed's and needs the deepspeed extra."""
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate goes on after the warm-up: down to zero, or level."""
    devices: Positive | Literal["auto"] = 1
    """Processes on each machine; a GPU each, or together the processor's cores. auto:
    one for each GPU, or as many as torchrun or SLURM has started."""
    num_nodes: Positive = 1
    """Machines."""
    strategy: Literal[
        "auto",
        "ddp",
        "fsdp",
        "deepspeed_stage_1",
        "deepspeed_stage_2",
        "deepspeed_stage_3",
        "deepspeed_stage_2_offload",
        "deepspeed_stage_3_offload",
    ] = "auto"
    """What the processes hold: each a whole model (ddp, which auto is with several), or
    parts of one (fsdp). DeepSpeed's stages divide the optimizer's memory, the gradients
    too, and the weights too; with offload it lies in the processor's memory."""
    output_dir: str = "saved_model"
    """Folder of the tuned model, its checkpoints, metrics and ledger."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides held-out rows, their order, dropout and the adapter's first weights."""
    validation_split: Fraction = 0.1
    """Share of the rows held out for validation, if no rows for it are given."""
    validation_limit: Positive = 100
    """Most rows held out by `validation_split`."""
    early_stopping_patience: Positive | None = None
    """Validations without a lower loss after which the run ends. None: never."""
    lora_rank: Positive = 8
    """Inner size of the LoRA matrices."""
    lora_alpha: Annotated[float, Field(gt=0)] = 16
    """The adapter's output is scaled by alpha / rank."""
    lora_rslora: bool = False
    """Scale by alpha / sqrt(rank) instead, which holds up at high ranks
    (arXiv 2312.03732)."""
    lora_dora: bool = False
    """Learn the length of each row of weights beside its direction (arXiv
    2402.09353)."""
    lora_init: Literal["default", "gaussian", "pissa", "olora", "loftq"] = "default"
    """What the adapter starts from: nothing (default, gaussian), the main parts of the
    weights (pissa, olora), or the error of their quantization (loftq)."""
    lora_rank_pattern: dict[str, Positive] = Field(default_factory=dict)
    """Ranks of layers that get another one, by name or a regular expression for it."""
    lora_alpha_pattern: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict
    )
    """Alphas of layers that get another one, by name or a regular expression for it."""
    lora_dropout: Fraction = 0.05
    """Share of the adapter's inputs that is dropped while training; none is by dpo,
    orpo and kto. On a CPU, any share makes a step about half as long again."""
    lora_plus_ratio: Annotated[float, Field(ge=1)] | None = None
    """LoRA+: the learning rate of B matrices over that of the others, such as 16
    (arXiv 2402.12354)."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that are adapted; all linear ones but the head otherwise."""


class GenerationConfig(Settings):
    """How a model writes.

    Greedy unless `do_sample` is on or `penalty_alpha` is set (contrastive search).
    """

    penalty_alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Weight of the degeneration penalty in contrastive search, which needs `top_k`."""
    top_k: Annotated[int, Field(ge=0)] | None = None
    """Candidates for each token. 0 or None: all (contrastive search: 4)."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability mass of the candidates for each token."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least probability of the candidates, as a share of the likeliest one's."""
    do_sample: bool = False
    """Draw tokens at random by their probability."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Divides the logits before tokens are drawn."""
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    """Divides the logits of tokens that have been written; 1 does nothing."""
    frequency_penalty: float = 0.0
    """Subtracted from a logit for each time that the answer has the token."""
    presence_penalty: float = 0.0
    """Subtracted from a logit if the answer has the token."""
    stop: tuple[str, ...] = ()
    """Texts before which an answer ends."""
    max_new_tokens: Positive = 256
    """Most tokens of an answer."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Makes draws repeatable."""
