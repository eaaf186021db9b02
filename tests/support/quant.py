"""Models to quantize, and the backends and schemes to do it with."""

from importlib.util import find_spec
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from xturing.quant import SCHEMES

PAIRS = [
    *(("native", scheme) for scheme in SCHEMES),
    *(("bitsandbytes", scheme) for scheme in ("int8", "nf4", "fp4")),
    ("torchao", "int8"),
    *(("gptq", scheme) for scheme in ("int4", "int8")),
]
needs_gptq = pytest.mark.skipif(
    find_spec("gptqmodel") is None,
    reason="gptqmodel is not installed: uv sync --group gptq",
)
CASES = [
    pytest.param(*pair, id="-".join(pair), marks=[needs_gptq] * (pair[0] == "gptq"))
    for pair in PAIRS
]
each_pair = pytest.mark.parametrize(("backend", "scheme"), CASES)
# What gptq makes is the native backend's, and is made in full precision.
each_pair_in_any_precision = pytest.mark.parametrize(
    ("backend", "scheme"), [case for case in CASES if case.values[0] != "gptq"]
)
each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


def language_model(architecture: str = "llama") -> Any:
    """Return a tiny model with weights as large as a trained one's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config: Any = tiny.CONFIGS[architecture]()
        if architecture == "llama":
            # Wide enough for the blocks of bitsandbytes.
            config.hidden_size, config.head_dim, config.intermediate_size = 64, 16, 128
        model: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model.eval()


def network(width: int = 64, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Return two linear layers with something between them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(nn.Linear(width, 48), nn.Tanh(), nn.Linear(48, width))
    return made.to(dtype)


def token_rows(count: int = 8, length: int = 32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(3, 500, (1, length), generator=generator) for _ in range(count)
    ]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return how far off a tensor is, in parts of the wanted one's length."""
    found, wanted = found.detach().float(), wanted.detach().float()
    return float((found - wanted).norm() / wanted.norm())


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def is_untouched(model: nn.Module, before: dict[str, Tensor]) -> bool:
    after = model.state_dict()
    return after.keys() == before.keys() and all(
        after[name].dtype == value.dtype and torch.equal(after[name], value)
        for name, value in before.items()
    )
