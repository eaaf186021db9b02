"""Tiny models with real architectures, and a tokenizer trained on the spot."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BloomConfig,
    DeepseekV2Config,
    FalconConfig,
    Gemma3Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MambaConfig,
    MiniMaxM2Config,
    Ministral3Config,
    Mistral3Config,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PixtralVisionConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SiglipVisionConfig,
    SmolLM3Config,
)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CORPUS = [
    "the quick brown fox jumps over the lazy dog and says hello to the world",
    "what is the capital of france? paris is the capital of france.",
    "write a short answer to the question, please: 0 1 2 3 4 5 6 7 8 9",
    "user assistant system [INST] [/INST] ### Response: ### Instruction:",
]
ROWS = [
    {"instruction": f"say {a} and {b}", "text": "", "target": f"{b} then {a}"}
    for a in ("fox", "dog", "paris", "hello")
    for b in ("the world", "a question", "france", "brown", "lazy dog")
]


def tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer whose padding token is its end token."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    made.chat_template = chat_template
    return made


def tokenizer_that_adds_tokens() -> PreTrainedTokenizerFast:
    """Return one that puts its start and end tokens around every text by itself."""
    made = tokenizer()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>",
        special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)],
    )
    return made


def llama_config() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def gpt2_config() -> PretrainedConfig:
    return GPT2Config(
        vocab_size=512,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=512,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
    )


# What a tiny model is made of, as most architectures call it. Heads are 8 wide.
COMMON: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
GROUPED = COMMON | {"intermediate_size": 64, "num_key_value_heads": 2}
EXPERTS = GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}


def gpt_config(width: int) -> PretrainedConfig:
    """Return a GPT-2 without dropout of another width than `gpt2_config`."""
    config = gpt2_config()
    config.n_embd = width
    return config


def opt_config() -> PretrainedConfig:
    return OPTConfig(
        **COMMON,
        ffn_dim=64,
        word_embed_proj_dim=32,
        dropout=0.0,
        attention_dropout=0.0,
    )


def gptj_config() -> PretrainedConfig:
    return GPTJConfig(
        vocab_size=512,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=512,
        rotary_dim=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )


def bloom_config() -> PretrainedConfig:
    return BloomConfig(
        vocab_size=512,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def deepseek_config() -> PretrainedConfig:
    """Return one like V2-Lite: a dense layer, then experts; whole queries."""
    options = COMMON | {"intermediate_size": 64, "num_key_value_heads": 4}
    return DeepseekV2Config(
        **options,
        first_k_dense_replace=1,
        kv_lora_rank=16,
        q_lora_rank=None,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        head_dim=8,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        moe_intermediate_size=32,
    )


def gemma3_config() -> PretrainedConfig:
    """Return one whose first layer looks back over eight tokens only."""
    return Gemma3TextConfig(
        **GROUPED,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
    )


def mamba_config() -> PretrainedConfig:
    options = {name: COMMON[name] for name in COMMON if "attention" not in name}
    del options["max_position_embeddings"]
    return MambaConfig(**options, state_size=4, time_step_rank=4)


CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "bloom": bloom_config,
    # Widths that no power of two divides well, as larger models have them.
    "cerebras": partial(gpt_config, 40),
    "deepseek": deepseek_config,
    "distilgpt2": partial(gpt_config, 48),
    "falcon": partial(
        FalconConfig, **COMMON, multi_query=True, parallel_attn=True, alibi=False
    ),
    "galactica": opt_config,
    "gemma3": gemma3_config,
    "gpt2": gpt2_config,
    "gpt_oss": partial(GptOssConfig, **EXPERTS, head_dim=8, sliding_window=8),
    "gptj": gptj_config,
    "llama": llama_config,
    "llama2": llama_config,
    "llama3": partial(LlamaConfig, **GROUPED, tie_word_embeddings=True),
    "mamba": mamba_config,
    "minimax_m2": partial(MiniMaxM2Config, **EXPERTS, head_dim=8),
    "ministral_3": partial(Ministral3Config, **GROUPED, head_dim=16),
    "mistral": partial(MistralConfig, **GROUPED, sliding_window=8),
    "mixtral": partial(MixtralConfig, **EXPERTS),
    "olmo2": partial(Olmo2Config, **GROUPED),
    "opt": opt_config,
    "phi": partial(PhiConfig, **COMMON, intermediate_size=64),
    "phi3": partial(Phi3Config, **GROUPED),
    "pythia": partial(
        GPTNeoXConfig, **COMMON | {"hidden_size": 40, "intermediate_size": 80}
    ),
    "qwen2_5": partial(Qwen2Config, **GROUPED, tie_word_embeddings=True),
    "qwen3": partial(Qwen3Config, **GROUPED, head_dim=16),
    "smollm2": partial(LlamaConfig, **GROUPED, tie_word_embeddings=True),
    "smollm3": partial(SmolLM3Config, **GROUPED, no_rope_layer_interval=2),
}
"""A tiny model of each family file's architecture."""


def save_seeing_folder(path: Path, architecture: str) -> Any:
    """Write a random model that also reads images, and return it."""
    text = CONFIGS[architecture]()
    sight: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    config: PretrainedConfig = (
        Gemma3Config(text_config=text, vision_config=SiglipVisionConfig(**sight))
        if architecture == "gemma3"
        else Mistral3Config(
            text_config=text,
            vision_config=PixtralVisionConfig(**sight),
            image_token_index=3,
            tie_word_embeddings=False,
        )
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = AutoModelForImageTextToText.from_config(config)
    model.save_pretrained(path)
    tokenizer().save_pretrained(path)
    return model.eval()


def save_folder(
    path: Path, architecture: str = "llama", chat_template: str | None = CHATML
) -> Path:
    """Write a random model and its tokenizer as an ordinary Hugging Face folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_config(CONFIGS[architecture]())
    # Weights as large as a trained model's make logits that differ.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    model.save_pretrained(path)
    tokenizer(chat_template).save_pretrained(path)
    return path


def logits(model: Any) -> torch.Tensor:
    """Return the logits for a fixed text."""
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        return model.engine.model(input_ids=ids).logits


def greedy(model: Any, questions: list[str]) -> list[str]:
    """Return a model's most likely answers, at most eight tokens long."""
    config = model.generation_config()
    config.do_sample, config.penalty_alpha, config.max_new_tokens = False, None, 8
    return model.generate(texts=questions)
