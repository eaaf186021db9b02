"""What is in a dataset, and what had better not be: find, tell, and choose rows.

Everything here goes over a dataset, a stream or any records with their places, and
returns what it found and where. Nothing is changed or left out: `dataset.select` takes
the rows that a result says to keep.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.data.curation.contamination import (
        Contaminated,
        Contamination,
        find_contamination,
    )
    from xturing.data.curation.contradictions import (
        Contradiction,
        Version,
        find_contradictions,
    )
    from xturing.data.curation.duplicates import (
        Cluster,
        Copy,
        Duplicates,
        find_duplicates,
    )
    from xturing.data.curation.mixing import Mixture, Share, mix
    from xturing.data.curation.near import Nearness, find_near_duplicates
    from xturing.data.curation.sensitive import Finding, find_sensitive
    from xturing.data.curation.splitting import Split, split
    from xturing.data.curation.statistics import (
        Lengths,
        Listed,
        Statistics,
        gather_statistics,
    )
    from xturing.data.curation.text import Normalisation

__all__ = [
    "Cluster",
    "Contaminated",
    "Contamination",
    "Contradiction",
    "Copy",
    "Duplicates",
    "Finding",
    "Lengths",
    "Listed",
    "Mixture",
    "Nearness",
    "Normalisation",
    "Share",
    "Split",
    "Statistics",
    "Version",
    "find_contamination",
    "find_contradictions",
    "find_duplicates",
    "find_near_duplicates",
    "find_sensitive",
    "gather_statistics",
    "mix",
    "split",
]

__getattr__ = exports(
    __name__,
    Cluster="duplicates",
    Contaminated="contamination",
    Contamination="contamination",
    Contradiction="contradictions",
    Copy="duplicates",
    Duplicates="duplicates",
    Finding="sensitive",
    Lengths="statistics",
    Listed="statistics",
    Mixture="mixing",
    Nearness="near",
    Normalisation="text",
    Share="mixing",
    Split="splitting",
    Statistics="statistics",
    Version="contradictions",
    find_contamination="contamination",
    find_contradictions="contradictions",
    find_duplicates="duplicates",
    find_near_duplicates="near",
    find_sensitive="sensitive",
    gather_statistics="statistics",
    mix="mixing",
    split="splitting",
)
