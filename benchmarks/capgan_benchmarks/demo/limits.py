"""What must be said wherever a figure of this defence is shown, and what the demo did not test."""

from __future__ import annotations

from capgan_benchmarks.demo.config import END_TO_END_NAME
from capgan_benchmarks.demo.findings import Findings, plain_number

WHAT_IT_HOLDS = (
    "A purifier that was trained on a fixed victim's FGSM images holds against attackers who do not know it, and falls "
    "to those who do: even the paper's own end-to-end figure is 6.58 % (CIFAR-10, PGD-40)."
)
NOT_TESTED = (
    "other attacks: transfer from a surrogate, MI-FGSM, CW, SPSA, Square, BPDA, AutoAttack; restarts; "
    "more than 20 steps",
    "other budgets and norms: everything here is L-infinity at 8/255",
    "attacks in the physical world: stickers, patches, prints, light",
    "photographs: the signs are drawn by code, from the same generator as the training images",
    "fp16, int8 and TensorRT engines, GPUs, batches above 1 in the latencies, cameras",
)


def sentences(findings: Findings) -> list[str]:
    """Return the limits of this run, each a sentence, the gravest first."""
    end_to_end = findings.end_to_end
    return [
        f"The attacks on the victim are white-box on the victim alone: their gradient does not see the purifier. "
        f"Where it does ({END_TO_END_NAME}), accuracy is {plain_number(end_to_end)}.",
        "That end-to-end figure is an upper bound: one attack, one start, 20 steps. A stronger attacker can only "
        "lower it.",
        WHAT_IT_HOLDS,
        "Suspicion is how adversarial the purifier's own classifier finds a frame. It was trained on FGSM, an attacker "
        "who knows it can evade it, and no threshold was set here.",
    ]
