"""Fine-tuning data from seed tasks or documents, by any language model.

Every answer is written down before it is used, so a run that is killed goes on where it
was, and nothing that was paid for is asked twice.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.selfinstruct.clients import CLIENTS, CallError, Client, open_client
    from xturing.selfinstruct.clients.doors import ChatGPT, Davinci, J2Grande, Medium
    from xturing.selfinstruct.documents import from_documents
    from xturing.selfinstruct.doors import generate_dataset, generate_dataset_from_dir
    from xturing.selfinstruct.events import Answered, StageMoved
    from xturing.selfinstruct.exchange import Reply, Request, Turn, Usage
    from xturing.selfinstruct.forecasts import (
        Forecast,
        forecast_documents,
        forecast_generation,
    )
    from xturing.selfinstruct.limits import Caps, Limits
    from xturing.selfinstruct.novelty import Match, NoveltyFilter
    from xturing.selfinstruct.passages import read_passages
    from xturing.selfinstruct.pipeline import generate
    from xturing.selfinstruct.questions import ask
    from xturing.selfinstruct.reporting import write_card, write_report
    from xturing.selfinstruct.runs import Run, Stage
    from xturing.selfinstruct.seeds import Instance, Seed, read_seeds
    from xturing.selfinstruct.settings import DocumentsConfig, SelfInstructConfig
    from xturing.selfinstruct.terms import Terms

__all__ = [
    "CLIENTS",
    "Answered",
    "CallError",
    "Caps",
    "ChatGPT",
    "Client",
    "Davinci",
    "DocumentsConfig",
    "Forecast",
    "Instance",
    "J2Grande",
    "Limits",
    "Match",
    "Medium",
    "NoveltyFilter",
    "Reply",
    "Request",
    "Run",
    "Seed",
    "SelfInstructConfig",
    "Stage",
    "StageMoved",
    "Terms",
    "Turn",
    "Usage",
    "ask",
    "forecast_documents",
    "forecast_generation",
    "from_documents",
    "generate",
    "generate_dataset",
    "generate_dataset_from_dir",
    "open_client",
    "read_passages",
    "read_seeds",
    "write_card",
    "write_report",
]

__getattr__ = exports(
    __name__,
    Answered="events",
    CLIENTS="clients",
    CallError="clients",
    Caps="limits",
    ChatGPT="clients.doors",
    Client="clients",
    Davinci="clients.doors",
    DocumentsConfig="settings",
    Forecast="forecasts",
    Instance="seeds",
    J2Grande="clients.doors",
    Limits="limits",
    Match="novelty",
    Medium="clients.doors",
    NoveltyFilter="novelty",
    Reply="exchange",
    Request="exchange",
    Run="runs",
    Seed="seeds",
    SelfInstructConfig="settings",
    Stage="runs",
    StageMoved="events",
    Terms="terms",
    Turn="exchange",
    Usage="exchange",
    ask="questions",
    forecast_documents="forecasts",
    forecast_generation="forecasts",
    from_documents="documents",
    generate="pipeline",
    generate_dataset="doors",
    generate_dataset_from_dir="doors",
    open_client="clients",
    read_passages="passages",
    read_seeds="seeds",
    write_card="reporting",
    write_report="reporting",
)
