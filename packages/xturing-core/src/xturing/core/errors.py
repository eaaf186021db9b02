"""Every error that xTuring raises on purpose.

    XTuringError
    ├── SettingsError           a setting is unknown, of the wrong type or out of range
    ├── UnknownNameError        a name is in no registry (also a KeyError)
    ├── MissingDependencyError  an optional library is missing (also an ImportError)
    ├── DataError               a file, row or field cannot be used
    ├── ModelError              a model's folder, weights or template cannot be used
    │   ├── QuantizationError   weights cannot be quantized, or quantized ones be used
    │   └── CompileError        a model cannot be compiled here
    ├── EngineError             an engine cannot answer a request
    │   └── BusyError           it has too many requests already
    ├── DownloadError           weights could not be fetched
    ├── RemoteError             a service refused a request, or was not reached
    ├── OutputError             a folder to write to is in use, or the disk is full
    └── TrainingError           training cannot start or go on
        └── LedgerError         the tokens in the loss are not those of the ledger

Catch `XTuringError` to catch them all; each message says what was given, what is right
and what to do next.
"""


class XTuringError(Exception):
    """Anything that xTuring raises on purpose."""


class SettingsError(XTuringError):
    """A setting is unknown, of the wrong type or out of range."""


class UnknownNameError(XTuringError, KeyError):
    """A name is in no registry."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class MissingDependencyError(XTuringError, ImportError):
    """An optional library is not installed."""


class DataError(XTuringError):
    """A file, row or field cannot be used."""


class ModelError(XTuringError):
    """A model's folder, weights or template cannot be used."""


class QuantizationError(ModelError):
    """Weights cannot be quantized so, or quantized ones cannot be used."""


class CompileError(ModelError):
    """A model's layers cannot be compiled; it works without."""


class EngineError(XTuringError):
    """An inference engine cannot answer a request."""


class BusyError(EngineError):
    """An engine has as many requests as it takes on; a later one may be answered."""


class DownloadError(XTuringError):
    """Weights could not be fetched."""


class RemoteError(XTuringError):
    """A service refused a request, or was not reached."""


class OutputError(XTuringError):
    """A folder to write to is in use, or the disk is full."""


class TrainingError(XTuringError):
    """Training cannot start or go on."""


class LedgerError(TrainingError):
    """The tokens that entered the loss are not those that the ledger counted."""
