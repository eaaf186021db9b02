"""The structures that the compiled decoder reads, field by field as in decoder.cpp."""

import ctypes
from typing import Any

Floats = ctypes.POINTER(ctypes.c_float)
Codes = ctypes.POINTER(ctypes.c_int8)
QKV, OUTPUT, GATE_UP, DOWN = range(4)
PARTS = 4


class Matrix(ctypes.Structure):
    """A matrix of weights."""

    _fields_ = (
        ("floats", Floats),
        ("codes", Codes),
        ("scales", Floats),
        ("bias", Floats),
        *((name, ctypes.c_int32) for name in ("rows", "columns", "stride", "group")),
    )


class LowRank(ctypes.Structure):
    """What an adapter adds to one."""

    _fields_ = (
        ("down", Floats),
        ("up", Floats),
        ("scale", ctypes.c_float),
        ("rank", ctypes.c_int32),
    )


class Layer(ctypes.Structure):
    """One decoder block."""

    _fields_ = (
        ("parts", Matrix * PARTS),
        ("attention_norm", Floats),
        ("feed_forward_norm", Floats),
        ("query_norm", Floats),
        ("key_norm", Floats),
        ("window", ctypes.c_int32),
        ("is_rotary", ctypes.c_int32),
    )


class Model(ctypes.Structure):
    """A whole decoder."""

    _fields_ = (
        ("layers", ctypes.POINTER(Layer)),
        ("embedding", Matrix),
        ("head", Matrix),
        ("final_norm", Floats),
        ("frequencies", Floats),
        ("adapters", ctypes.POINTER(LowRank)),
        *((n, ctypes.c_float) for n in ("epsilon", "score_scale", "rotary_scale")),
        *(
            (name, ctypes.c_int32)
            for name in (
                *("layer_count", "width", "heads", "kept_heads", "head_size", "inner"),
                "adapter_count",
            )
        ),
    )


class Token(ctypes.Structure):
    """One token of a step."""

    _fields_ = (
        ("cache", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        *((n, ctypes.c_int32) for n in ("capacity", "id", "position", "adapter")),
    )


def pointer(array: Any, kind: Any = Floats) -> Any:
    """Return the address of an array's numbers, or null for None."""
    return kind() if array is None else array.ctypes.data_as(kind)
