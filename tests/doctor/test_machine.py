"""What the system's files say is read as real machines write it; where there are none, nothing is claimed."""

from __future__ import annotations

from pathlib import Path

import pytest

from capgan_edge.doctor.machine import read_cpu, read_driver, read_jetpack
from capgan_edge.hardware import cpu_flags, sums_int8_exactly


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_a_feature_counts_where_every_core_has_it() -> None:
    big_little = "Features\t: fp asimd asimddp i8mm\n\nFeatures\t: fp asimd asimddp\n"
    assert cpu_flags(big_little) == {"fp", "asimd", "asimddp"}
    assert cpu_flags("flags\t\t: fpu avx2 avx512_vnni amx_bf16\n") >= {"avx2", "avx512_vnni", "amx_bf16"}
    assert cpu_flags("") == set()


def test_int8_products_are_summed_exactly_by_dot_products_alone() -> None:
    assert not sums_int8_exactly("x86_64", "flags\t\t: avx2 avx512f avx512bw\n")
    assert not sums_int8_exactly("AMD64", "")
    for feature in ("avx_vnni", "avx512_vnni", "amx_int8"):
        assert sums_int8_exactly("x86_64", f"flags\t\t: avx2 {feature}\n")
    assert sums_int8_exactly("aarch64", "Features\t: asimd\n")


def test_memory_is_read_in_bytes_and_unknown_where_it_is_not_told(tmp_path: Path) -> None:
    assert read_cpu(tmp_path).memory_total_bytes is None
    write(tmp_path, "proc/meminfo", "MemTotal:       1000 kB\nMemFree:  5 kB\nMemAvailable:    250 kB\n")
    cpu = read_cpu(tmp_path)
    assert (cpu.memory_total_bytes, cpu.memory_available_bytes) == (1_024_000, 256_000)
    assert not any(cpu.features.values())
    assert cpu.num_logical >= 1


RELEASES = {
    "# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref": ("35.4.1", "5"),
    "# R36 (release), REVISION: 3.0, GCID: 1, BOARD: generic": ("36.3.0", "6.0"),
    "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic": ("36.4.3", "6.1 or 6.2"),
    "# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic": ("38.2.0", "7.0 or 7.1"),
    "# R41 (release), REVISION: 0.0, GCID: 1, BOARD: generic": ("41.0.0", None),
}


@pytest.mark.parametrize("line", RELEASES, ids=lambda line: line[2:5])
def test_a_jetson_is_known_by_its_release(line: str, tmp_path: Path) -> None:
    found = read_jetpack(write(tmp_path, "etc/nv_tegra_release", line + ", EABI: aarch64\n"))
    assert found is not None
    assert (found.l4t, found.jetpack) == RELEASES[line]


def test_other_machines_are_no_jetson(tmp_path: Path) -> None:
    assert read_jetpack(tmp_path) is None
    assert read_jetpack(write(tmp_path, "etc/nv_tegra_release", "something else")) is None


def test_the_kernel_tells_gpu_and_driver(tmp_path: Path) -> None:
    assert read_driver(tmp_path) == (None, None)
    version = (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version: 12\n"
    )
    write(tmp_path, "proc/driver/nvidia/version", version)
    write(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA RTX A2000\nIRQ:   16\n")
    assert read_driver(tmp_path) == ("NVIDIA RTX A2000", "535.183.01")


def test_a_jetson_names_itself_by_its_device_tree(tmp_path: Path) -> None:
    write(tmp_path, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3,")
    write(tmp_path, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    assert read_driver(tmp_path) == ("NVIDIA Jetson Orin Nano Developer Kit", None)
