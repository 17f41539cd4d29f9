"""Any command with the settings of this project, for what is not started by `make up`.

python -m flows.command prefect worker start --pool machines
"""

import os
import sys

if __name__ == "__main__":
    os.execvp(sys.argv[1], sys.argv[1:])  # importing `flows` has put flows.settings into the environment
