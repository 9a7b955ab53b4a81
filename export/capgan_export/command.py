"""The commands of export: `export` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
_Spec = Annotated[str | None, typer.Option(help="The victim, for a run that was trained before a brought one.")]
_State = Annotated[Path | None, typer.Option(help="Safetensors weights for a --victim that is a module:factory.")]
_Data = Annotated[str | None, typer.Option(help="Images for the checks: signs, a folder, a zip, or a known name.")]


@app.command()
def export(
    source: Annotated[
        str | None, typer.Argument(help="A run (a victim's is exported alone), its checkpoint, or a name in the zoo.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The bundle to write (a directory).")] = Path("bundle"),
    victim: _Spec = None,
    victim_state: _State = None,
    data: _Data = None,
    with_purified: Annotated[bool, typer.Option(help="Let the graph give the purified frames too (uint8).")] = False,
    with_raw_logits: Annotated[bool, typer.Option(help="And the victim without purification; it runs twice.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Parity: difference of a logit, share of the largest.")
    ] = 1e-3,
    num_frames: Annotated[int, typer.Option(min=40, help="Parity: frames of each kind (a count).")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Parity: which frames, and the attack's random start.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    is_json: _Json = False,
) -> None:
    """Fuse purifier and victim into one ONNX graph, check it against torch, and write the bundle."""
    from capgan_export.parity import ParityConfig
    from capgan_export.session import ExportRequest, run_export

    parity = ParityConfig(tolerance=tolerance, num_frames=num_frames, seed=seed)
    request = ExportRequest(source=source, out=out, victim=victim, victim_state=victim_state, data=data, parity=parity,
                            has_purified=with_purified, has_raw_logits=with_raw_logits, overwrite=force)  # fmt: skip
    run_export(request, is_json=is_json)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    artifact: Annotated[
        list[str] | None, typer.Option(help="Judge this one, e.g. model.int8.onnx; again for more.")
    ] = None,
    backend: Annotated[str, typer.Option(help="What computes graphs: onnxruntime or openvino.")] = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="bf16: of the fp32 graph, which openvino alone has.")] = None,
    gates: Annotated[Path | None, typer.Option(help="TOML with other limits or attacks than the shipped ones.")] = None,
    against: Annotated[str | None, typer.Option(help="The FP32 twin: a run or a zoo name; found by its hash.")] = None,
    victim: _Spec = None,
    victim_state: _State = None,
    data: _Data = None,
    adversarial: Annotated[Path | None, typer.Option(help="A stored set to judge on; needs no torch.")] = None,
    write_adversarial: Annotated[Path | None, typer.Option(help="Store the frames made from the twin here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --write-adversarial replace a file.")] = False,
    false_alarms: Annotated[
        float, typer.Option(min=0, max=1, help="Suspicion threshold: share of clean frames above it, in (0, 1).")
    ] = 0.01,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    write: Annotated[bool, typer.Option(help="Put cards and thresholds into the bundle's manifest.")] = True,
    is_json: _Json = False,
) -> None:
    """Hold a bundle to its gates, robustness among them. Exit 0: it passed; 1: a regression; 2: cannot be checked."""
    from capgan_export.gate.session import VerifyRequest, run_verify

    request = VerifyRequest(bundle=bundle, artifacts=tuple(artifact or ()), backend=backend,
                            precision=precision, gates=gates, against=against, victim=victim,
                            victim_state=victim_state, data=data, adversarial=adversarial, overwrite=force,
                            write_adversarial=write_adversarial, is_written=write,
                            false_alarms=false_alarms, allow_host_code=allow_host_code)  # fmt: skip
    raise typer.Exit(run_verify(request, is_json=is_json))
