"""The errors that end a run with one line instead of a traceback.

PlumblineError          what is wrong, where, and what to do next
├── ParamsError         params.yaml is not well formed; carries every problem at once
├── DataError           a row that a person supplied is malformed; names file, line and field
├── ArtifactError       a folder or model that a stage reads is missing, unfinished or damaged
└── DivergenceError     a loss stopped being a number; names the stage and the step

Our own mistakes are ValueError or assert, raised where the value is used, with the full traceback.
"""


class PlumblineError(Exception):
    """Ends a run with its message on one line per problem and exit code 1."""


class ParamsError(PlumblineError):
    """params.yaml is not well formed. The message lists every problem, one line each."""


class DataError(PlumblineError):
    """A row that a person supplied is malformed. The message names file, line and field."""


class ArtifactError(PlumblineError):
    """A folder, model or file that a stage reads is missing, unfinished or damaged."""


class DivergenceError(PlumblineError):
    """A loss stopped being a finite number. The message names the stage and the step."""
