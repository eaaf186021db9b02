"""Models in other programs' formats, each opened again and held to the model.

A format is a file here, known by its name in `EXPORTERS`; other distributions add
theirs under the entry point group `xturing.exporters`.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.models.exporting.exporter import (
        EXPORTERS,
        Exported,
        Exporter,
        Reopened,
        export,
    )

__all__ = ["EXPORTERS", "Exported", "Exporter", "Reopened", "export"]

__getattr__ = exports(
    __name__,
    EXPORTERS="exporter",
    Exported="exporter",
    Exporter="exporter",
    Reopened="exporter",
    export="exporter",
)
