"""Where a stage's folder is, and when it is whole."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plumbline.errors import ArtifactError


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder to fill that takes the name `out` only when the block ends without an error.

    It lies beside `out`, on the same file system, so that the renaming is atomic. A failure leaves neither
    the temporary folder nor a half-written `out`; an `out` of an earlier run is replaced only at the end.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in (*out.parent.glob(f".{out.name}.unfinished-*"), *out.parent.glob(f".{out.name}.old-*")):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed; DVC lets no two write one folder
    folder = out.parent / f".{out.name}.unfinished-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
        if out.exists():
            old = out.parent / f".{out.name}.old-{uuid.uuid4().hex[:8]}"
            out.rename(old)
            folder.rename(out)
            shutil.rmtree(old)
        else:
            folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need(folder: Path, *files: str, stage: str) -> Path:
    """`folder`, once it and the named files in it are known to be there; otherwise ArtifactError."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder; run `dvc repro {stage}` first")
    for file in files:
        if not (folder / file).exists():
            raise ArtifactError(f"{folder}: {file} is missing, the folder is damaged; run `dvc repro -f {stage}`")
    return folder


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's sorted (relative path, digest) pairs."""
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            total.update(f"{file.relative_to(path).as_posix()} {digest(file)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """The content of a JSON file that an earlier stage wrote; ArtifactError when missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; run the stage that writes it (dvc repro)") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); run the stage that writes it again (dvc repro -f)") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys, two spaces and a final newline: equal content gives equal bytes."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
