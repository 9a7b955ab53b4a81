"""What beside models, images and attack decides which frames come of crafting: our code, and versions of the tools."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from capgan_edge.files import sha256_of_bytes

_TOOLS = ("capgan-edge", "numpy", "torch", "onnx", "onnxruntime", "pillow")


@lru_cache(maxsize=1)
def made_by() -> dict[str, str]:
    """Return versions of the tools, and the hash of our own code that crafts."""
    return {**{name: _version(name) for name in _TOOLS}, "code": sha256_of_code(code_files())}


def code_files() -> tuple[Path, ...]:
    """Return the files that decide: attacks, threats, models, defences, how a pair is folded and a graph is run."""
    import capgan_edge.attacks
    import capgan_edge.defences
    import capgan_edge.models
    import capgan_export

    packages = (capgan_edge.attacks, capgan_edge.models, capgan_edge.defences)
    folders = [Path(__file__).parent, *(Path(str(each.__file__)).parent for each in packages)]
    export = Path(str(capgan_export.__file__)).parent
    own = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return (*own, export / "fused.py", export / "reference.py")


def sha256_of_code(paths: Sequence[Path]) -> str:
    """Return the hash of files, of each its folder's name, its own and what is in it."""
    held = [f"{path.parent.name}/{path.name} {sha256_of_bytes(path.read_bytes())}" for path in paths]
    return sha256_of_bytes("\n".join(held).encode())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed as a package"
