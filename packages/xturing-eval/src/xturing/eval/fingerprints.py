"""What tells one model from another, whatever it is called and wherever it lies."""

import hashlib
from typing import Any

from xturing.models.base import BaseModel

SAMPLED = 64
"""Numbers taken of each tensor, evenly spread; training changes all of them."""


def fingerprint(model: BaseModel) -> str:
    """Return a SHA-256 over a model's weights, as far as sampled, and its template."""
    digest = hashlib.sha256()
    template = getattr(model.engine.tokenizer, "chat_template", None)
    digest.update(f"{template}\n".encode())
    for name, tensor in model.engine.model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(_sample(tensor))
    return digest.hexdigest()


def _sample(tensor: Any) -> bytes:
    import torch

    plain = getattr(tensor, "dequantize", None)
    values = plain() if plain and tensor.is_quantized else tensor
    if type(values) not in (torch.Tensor, torch.nn.Parameter) or not values.numel():
        return str(values).encode()
    flat = values.detach().reshape(-1)
    step = max(len(flat) // SAMPLED, 1)
    taken = flat[::step][:SAMPLED].cpu().contiguous()
    return taken.view(torch.uint8).numpy().tobytes()
