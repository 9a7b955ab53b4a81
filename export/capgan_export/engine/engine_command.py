"""The command of engines: `build-engine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_Targets = Annotated[
    list[str] | None, typer.Option("--target", help="A GPU architecture, such as sm_86; repeat it for more.")
]
_Images = Annotated[
    str | None,
    typer.Option(help="Make the graph with these: --int8 calibrates on them, --fp16 is held against FP32 on them."),
]
_Cache = Annotated[Path | None, typer.Option(help="A file of timings of this GPU; tensorrt alone.")]


@app.command("build-engine")
def build_engine(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    fp32: Annotated[bool, typer.Option("--fp32", help="Compile the graph in FP32.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Compile the graph in FP16; made first where missing.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Compile the graph in INT8 that calibrate made.")] = False,
    batch: Annotated[
        str, typer.Option(help="Batch sizes min,opt,max (frames); one number is a fixed batch.")
    ] = "1,1,8",
    targets: _Targets = None,
    workspace_gib: Annotated[float | None, typer.Option(help="Memory that tactics may use (GiB).")] = None,
    timing_cache: _Cache = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Runs in newer TensorRTs too; tensorrt alone.")
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="Runs on sm_80 and newer; tensorrt alone.")
    ] = False,
    flavour: Annotated[str | None, typer.Option(help="tensorrt or tensorrt_rtx, where both are installed.")] = None,
    images: _Images = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the engine of this name, and a stale FP16 graph.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Compile a graph of a bundle into a TensorRT engine, beside which its sidecar says what it is."""
    from capgan_export.engine.config import EngineConfig, profile_from_text
    from capgan_export.engine.session import EngineRequest, precision_of, run_build

    precision = precision_of({"fp32": fp32, "fp16": fp16, "int8": int8})
    config = EngineConfig(precision=precision, profile=profile_from_text(batch), targets=tuple(targets or ()),
                          workspace_gib=workspace_gib, timing_cache=timing_cache,
                          is_version_compatible=version_compatible,
                          is_hardware_compatible=hardware_compatible)  # fmt: skip
    request = EngineRequest(bundle=bundle, config=config, flavour=flavour, images=images, overwrite=force)
    run_build(request, is_json=is_json)
