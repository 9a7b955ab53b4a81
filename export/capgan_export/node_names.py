"""Name each node after the module it came from, so that precision passes can select by name (AdaLIN)."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"


def name_nodes(model: onnx.ModelProto) -> None:
    """Rename nodes to `<module path>/<op>` (`purifier.decoder_blocks.0.norm1/Sqrt`), with `_2` and so on for repeats.

    A node that torch's passes made without saying from where gets the path of the node that made its first input.
    """
    seen: dict[str, int] = {}
    scope_of_value: dict[str, str] = {}
    for node in model.graph.node:
        inherited = next((scope_of_value[name] for name in node.input if name in scope_of_value), "")
        scope = _scope(node)
        scope = inherited if scope is None else scope
        scope_of_value.update(dict.fromkeys(node.output, scope))
        name = f"{scope or 'graph'}/{node.op_type}"
        seen[name] = seen.get(name, 0) + 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _scope(node: onnx.NodeProto) -> str | None:
    """Return the deepest module path that torch noted on the node; the last entry of its list is the operator's own."""
    for prop in node.metadata_props:
        if prop.key == _SCOPES:
            scopes: list[str] = ast.literal_eval(prop.value)
            return scopes[-2] if len(scopes) > 1 else ""
    return None
