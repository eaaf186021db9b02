"""What all tabs of a page share."""

from dataclasses import dataclass

from xturing.ui.jobs.store import Jobs
from xturing.ui.places import Places
from xturing.ui.talking import Talkers


@dataclass(frozen=True)
class Page:
    """Where an app works, its jobs, and the models that are open in it."""

    places: Places
    jobs: Jobs
    talkers: Talkers
    model: str
    """What the chat begins with."""

    @property
    def names(self) -> list[str]:
        """Return models that open without a hub, then the folders of saved ones."""
        from xturing.models import families
        from xturing.models.hub import is_here

        here = [name for name in families() if is_here(families()[name])]
        root = self.places.root
        saved = [
            str(file.parent.relative_to(root))
            for depth in ("*", "*/*")
            for file in sorted(root.glob(f"{depth}/xturing.json"))
        ]
        return list(dict.fromkeys([self.model, *here, *saved]))
