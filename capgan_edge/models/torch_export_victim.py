"""A victim from a `torch.export` file (.pt2), read so that nothing in the file can run code.

`torch.export.load` unpickles the sample inputs without restriction, evaluates symbolic sizes with sympy's `eval`, turns
node names into Python source and resolves operators by name. So the archive is read here first: members that are not
plain tensors or JSON are refused, every string of the graph must be of its expected form, every operator must be one of
ATen's, and only a new archive that holds exactly what was checked is given to torch.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor, nn

from capgan_edge.errors import CheckpointError

_MAX_BYTES = 4 << 30
_HOW = (
    "export it in eval mode with torch.export.export(model.eval(), (torch.rand(2, 3, H, W),), "
    "dynamic_shapes=({0: torch.export.Dim('N')},)) and torch.export.save"
)
_PLAIN_MEMBERS = (
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_WORD = re.compile(r"[A-Za-z0-9_.+]*")
_SYMBOL = re.compile(r"Symbol\('[su]\d{1,6}'(, (positive|nonnegative|integer)=(True|False)){0,3}\)")
_EXPRESSION = re.compile(r"([A-Za-z]\w*|\d{1,12}|[ +\-*/(),])*")
_FUNCTIONS = {"S", "Add", "Mul", "Max", "Min", "Mod", "Integer", "FloorDiv", "PythonMod", "CleanDiv", "CeilDiv", "Eq",
              "Ne", "Lt", "Le", "Gt", "Ge", "Identity"}  # fmt: skip
_TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|torch\.sym_(max|min|int|not)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|mod|eq|ne|lt|le|gt|ge|neg)"
)
_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}


class ExportedVictim(nn.Module):
    """An exported graph as a module: its mode was fixed at export, so train() and eval() leave it alone."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.graph(x_BCHW)
        return logits

    def train(self, mode: bool = True) -> ExportedVictim:
        self.training = mode
        return self


def victim_from_pt2(data: bytes, name: str) -> tuple[ExportedVictim, tuple[int, int] | None]:
    """Return the module of a .pt2 file, and the height and width it is bound to (None where these are free).

    Raises:
        CheckpointError: no such archive, one that would need to unpickle, another signature, or a fixed batch.
    """
    members = _members(data, name)
    program = _json(members, "models/model.json", name)
    size_px = _check_program(program, name)
    for config in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
        _check_payloads(_json(members, config, name), name)
    members["models/model.json"] = json.dumps(program).encode()
    members[_SAMPLE_INPUTS] = b""  # the only pickle of a plain archive, and not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.export.load(_packed(members)).module()
    except Exception as error:  # torch raises what it likes on a broken file
        raise _refused(name, f"one that torch {torch.__version__} cannot load ({_brief(error)})") from error
    return ExportedVictim(graph), size_px


def _members(data: bytes, name: str) -> dict[str, bytes]:
    """Return the members that are needed, by name without the archive's folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_BYTES:
                raise _refused(name, f"one that unpacks to more than {_MAX_BYTES >> 30} GiB")
            members: dict[str, bytes] = {}
            for info in archive.infolist():
                inner = "/".join(PurePosixPath(info.filename).parts[1:])
                if inner == _SAMPLE_INPUTS or inner.startswith("extra/"):
                    continue
                if not re.fullmatch(_PLAIN_MEMBERS, inner):
                    raise _refused(
                        name, f"one with the member {info.filename!r}, which may be a pickle or compiled code"
                    )
                if inner in members:
                    raise _refused(name, f"one with two members {info.filename!r}")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise _refused(name, f"one with the member {info.filename!r} packed in another way than deflate")
                members[inner] = archive.read(info)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _refused(name, f"something else or a truncated one ({_brief(error)})") from error
    return members


def _packed(members: dict[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for inner, content in members.items():
            archive.writestr(f"model/{inner}", content)
    packed.seek(0)
    return packed


def _json(members: dict[str, bytes], inner: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(members[inner])
    except (KeyError, ValueError, RecursionError) as error:
        raise _refused(name, f"one without a readable {inner}") from error
    if not isinstance(value, dict):
        raise _refused(name, f"one whose {inner} is no object")
    return value


def _check_payloads(config: dict[str, Any], name: str) -> None:
    """Refuse tensors that are stored as pickles."""
    try:
        payloads = list(config["config"].values())
        is_plain = all(
            p["use_pickle"] is False and re.fullmatch(r"(weight|tensor)_\d+", p["path_name"]) for p in payloads
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _refused(name, "one with a malformed table of weights") from error
    if not is_plain:
        raise _refused(name, "one with pickled weights; pickles can run code and are never loaded")


def _check_program(program: dict[str, Any], name: str) -> tuple[int, int] | None:
    """Drop what is not needed, refuse what is not plain, and return the fixed height and width, if any."""
    try:
        module = program["graph_module"]
        program["guards_code"] = []  # becomes Python source in torch
        module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
        for node in module["graph"]["nodes"]:
            node["metadata"] = {}
            if not _TARGET.fullmatch(node["target"]):
                raise _refused(name, f"one with the operator {node['target']!r}; only ATen's are taken")
        root = next(entry for entry in module["module_call_graph"] if entry["fqn"] == "")
        module["module_call_graph"] = [root]
        _check_signature(root.pop("signature"), name)
        _check_strings(module, name)
        _check_strings(program["range_constraints"], name)
        root["signature"] = _signature(module)
        return _check_input(module, name)
    except (LookupError, TypeError, AttributeError, StopIteration, ValueError, RecursionError) as error:
        raise _refused(name, f"one whose graph is malformed ({_brief(error)})") from error


def _check_signature(signature: dict[str, Any], name: str) -> None:
    """Expect one tensor in, by position, and one tensor out."""
    takes, gives = json.loads(signature["in_spec"])[1], json.loads(signature["out_spec"])[1]
    positional, by_name = takes["children_spec"]
    if positional["children_spec"] != [_LEAF] or by_name["children_spec"] or gives != _LEAF:
        raise _refused(name, "one that takes or gives something other than one tensor (images in, logits out)")


def _signature(module: dict[str, Any]) -> dict[str, Any]:
    """Return the call signature written anew, so that no text of the file is parsed as a tree."""
    takes = {
        "type": "builtins.tuple",
        "context": "null",
        "children_spec": [
            {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]},
            {"type": "builtins.dict", "context": "[]", "children_spec": []},
        ],
    }
    return {
        "inputs": [],
        "outputs": [],
        "in_spec": json.dumps([1, takes]),
        "out_spec": json.dumps([1, _LEAF]),
        "forward_arg_names": [spec["user_input"]["arg"]["as_tensor"]["name"] for spec in _user_inputs(module)],
    }


def _user_inputs(module: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec for spec in module["signature"]["input_specs"] if "user_input" in spec]


def _check_input(module: dict[str, Any], name: str) -> tuple[int, int] | None:
    inputs = _user_inputs(module)
    if len(inputs) != 1:
        raise _refused(name, f"one that takes {len(inputs)} inputs")
    spec = inputs[0]
    sizes = module["graph"]["tensor_values"][spec["user_input"]["arg"]["as_tensor"]["name"]]["sizes"]
    fixed = [size.get("as_int") for size in sizes]
    if len(fixed) != 4 or fixed[1] not in (3, None):
        raise _refused(name, f"one whose input has the shape {fixed}, where images are [N, 3, H, W]")
    if fixed[0] is not None:
        raise _refused(name, f"one with a fixed batch of {fixed[0]}")
    return (fixed[2], fixed[3]) if fixed[2] is not None and fixed[3] is not None else None


def _check_strings(value: Any, name: str, *, is_expression: bool = False) -> None:
    """Every key and string is a plain word, but for symbolic sizes, which are arithmetic on symbols."""
    if isinstance(value, dict):
        for key, held in value.items():
            _check_strings(key, name)
            _check_strings(held, name, is_expression=key == "expr_str")
    elif isinstance(value, list):
        for held in value:
            _check_strings(held, name)
    elif isinstance(value, str) and not (_is_arithmetic(value) if is_expression else _WORD.fullmatch(value)):
        raise _refused(name, f"one whose graph has the text {value[:60]!r}, which is no plain name")


def _is_arithmetic(text: str) -> bool:
    plain = _SYMBOL.sub("S", text) if len(text) < 1000 else "'"
    words = set(re.findall(r"[A-Za-z]\w*", plain))
    return bool(_EXPRESSION.fullmatch(plain)) and words <= _FUNCTIONS and "**" not in plain


def _refused(name: str, came: str) -> CheckpointError:
    return CheckpointError(f"{name}: expected a torch.export file of one image batch to logits, got {came}; {_HOW}")


def _brief(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
