"""Tiny models with real architectures, and a tokenizer trained on the spot."""

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
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
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


CONFIGS = {"llama": llama_config, "gpt2": gpt2_config}


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
