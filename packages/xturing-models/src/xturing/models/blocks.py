"""The decoder blocks of a model: layers that are alike and do nearly all the work."""

from typing import Any


def decoder_blocks(model: Any) -> list[Any]:
    """Return a model's decoder blocks in their order, whatever is around them.

    They are what transformers computes anew, or splits over devices, as one. The list
    is empty if the architecture does not say which they are.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    modules = [*model.modules()]
    found = [each for each in modules if isinstance(each, GradientCheckpointingLayer)]
    if not found:
        # Code that came with a checkpoint names their classes.
        names = {
            name
            for each in modules
            for name in getattr(each, "_no_split_modules", None) or ()
        }
        found = [each for each in modules if type(each).__name__ in names]
    inner = {id(part) for each in found for part in each.modules() if part is not each}
    return [each for each in found if id(each) not in inner]
