"""Stage `base`: settle which model everything starts from, and remember exactly which one that was.

reads    pretrained  the models that come with the project, one of which base.source may name
writes   out         base.json: where the weights are, their digests, the architecture; metrics.json
"""

from pathlib import Path

from plumbline.params import Base
from plumbline.stage import run_stage
from plumbline.store import unfinished, write_json
from plumbline.tracking import track


def base(params: Base, *, pretrained: Path, out: Path) -> Path:
    """Find the model, in a folder or on the hub, and write down the digests that later stages hold it to.

    The weights stay where they are: a model of many gigabytes is not copied into every run.
    """
    from plumbline.models.load import POINTER, describe, load_tokenizer, resolve

    source = resolve(params.source, params.revision, pretrained)
    with track("base", params) as run, unfinished(out) as folder:
        run.input("model", source)
        write_json(folder / POINTER, describe(source))
        run.finish(folder, vocabulary=len(load_tokenizer(folder)))
    return out


if __name__ == "__main__":
    run_stage(base)
