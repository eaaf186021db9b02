"""The model that other settings are about, as `-m` and `--weights` say it."""

from xturing.cli.migrating.rules import Left, Migration, Taken

SUFFIXES = {"none": "", "8": "_int8", "4": "_int4"}


def name_model(
    found: Migration, checkpoint: str | None, adapter: bool, bits: str, origin: str
) -> None:
    """Have the command line name a checkpoint, its adapter and its bits.

    `bits` is "none", "8" or "4". Weights that are quantized are not learnt, so without
    an adapter they stay whole.
    """
    if bits != "none" and not adapter:
        reason = "quantized weights are not learnt themselves; add an adapter (lora)"
        found.left[f"{bits} bits"] = Left(bits, reason)
        bits = "none"
    ending = ("_lora" if adapter else "") + SUFFIXES[bits]
    if checkpoint is None:
        return
    family = _family(checkpoint)
    if family is not None:
        found.options["model"] = Taken(f"{family}{ending}", origin)
        return
    found.options["model"] = Taken(f"generic{ending}", origin)
    found.options["weights"] = Taken(checkpoint, origin)


def _family(checkpoint: str) -> str | None:
    """Return the family whose own weights these are."""
    from xturing.models import families

    for name, family in families().items():
        if family.checkpoint and family.checkpoint.lower() == checkpoint.lower():
            return name
    return None
