"""The command of the server: `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def serve(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    name: Annotated[str, typer.Option(help="Of the model, in the path of every request.")] = "capgan",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="For REST; 0 takes a free one.")] = 8080,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="For gRPC; 0 takes a free one.")] = 8081,
    grpc: Annotated[bool, typer.Option(help="Serve gRPC too.")] = True,
    max_batch: Annotated[int | None, typer.Option(min=1, help="Frames at once; else what the engine takes.")] = None,
    max_wait_ms: Annotated[float, typer.Option(min=0, max=1000, help="The first frame of a batch waits (ms).")] = 2.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Frames that wait at most; past it 503 (a count).")] = 256,
    max_body_mib: Annotated[float, typer.Option(min=0, help="Of a request, also decompressed (MiB).")] = 16.0,
    max_megapixels: Annotated[float, typer.Option(min=0, help="Of an encoded image (millions of pixels).")] = 16.0,
    client_timeout_s: Annotated[float, typer.Option(min=0, help="A client's time to send or take a body (s).")] = 30.0,
    grace_s: Annotated[float, typer.Option(min=0, help="On SIGTERM: time for answers in flight (s).")] = 30.0,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM), for REST and gRPC.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with the token that requests must bear.")] = None,
    backend: Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, int8, or bf16 (openvino alone).")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    require_card: Annotated[bool, typer.Option("--require-card", help="Refuse what has not passed verify.")] = False,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when ready, for machines.")] = False,
) -> None:
    """Serve a bundle over the Open Inference Protocol v2, REST and gRPC. SIGTERM: finish what is in flight, exit 0."""
    from capgan_edge.runtime.serve.limits import Limits
    from capgan_edge.runtime.serve.session import ServeRequest, run_serve

    limits = Limits(max_batch=max_batch, max_wait_ms=max_wait_ms, max_queue=max_queue, max_body_mib=max_body_mib,
                    max_megapixels=max_megapixels, client_timeout_s=client_timeout_s, grace_s=grace_s)  # fmt: skip
    loading = {"backend": backend, "precision": precision, "threads": threads, "require_card": require_card,
               "allow_host_code": allow_host_code}  # fmt: skip
    request = ServeRequest(bundle=bundle, name=name, host=host, port=port, grpc_port=grpc_port if grpc else None,
                           tls_cert=tls_cert, tls_key=tls_key, token_file=token_file, loading=loading)  # fmt: skip
    run_serve(request, limits, is_json=is_json)
