"""Images a second of scoresde's U-Net and of diffusers' UNet2DModel, on one CPU thread.

    pip install diffusers && python benchmarks/unet_speed.py [--json FILE]

Both are fed the same 28x28 images in one process, alternately; a round is one forward pass and
one step (forward and backward) of each, in CPU time, and the figure is the median over rounds of
the ratio within a round, with its quartiles. A ratio above 1 means that scoresde is the faster.
Three comparisons:

same widths    scoresde's default layout, and a UNet2DModel of as many resolutions and blocks a
               level and an equal number of parameters (within 3 %), its widths equal but for the
               last level's.
same shape     the same, all of its widths smaller by one eighth instead.
same network   the layout "ddpm" with the same widths, blocks, heads and norms: the same
               convolutions, the same number of parameters to the last one.

In all of them the embedding scales and shifts after a norm.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers.models import UNet2DModel
from torch import Tensor, nn

from scoresde.nets import UNet

SIZE = 28
GROUPS = 4  # at least 8 features a group: with fewer, torch's group norm is 3 times slower


def foreign(widths: tuple[int, ...], groups: int, attention: bool) -> UNet2DModel:
    levels = len(widths)
    return UNet2DModel(
        sample_size=SIZE,
        in_channels=1,
        out_channels=1,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        norm_num_groups=groups,
        attn_norm_num_groups=groups if attention else None,
        resnet_time_scale_shift="scale_shift",
        add_attention=attention,
    )


def own() -> UNet:
    return UNet((1, SIZE, SIZE), channels=32, multipliers=(1, 1, 2), groups=GROUPS)


PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "same widths": (own, lambda: foreign((32, 32, 50), 2, attention=False)),
    "same shape": (own, lambda: foreign((28, 28, 56), GROUPS, attention=False)),
    "same network": (
        lambda: UNet(
            (1, SIZE, SIZE),
            channels=32,
            multipliers=(1, 2),
            groups=GROUPS,
            layout="ddpm",
            head_width=8,
        ),
        lambda: foreign((32, 64), GROUPS, attention=True),
    ),
}


def calls(net: nn.Module, x: Tensor, noise: Tensor, dtype: torch.dtype) -> dict[str, Callable]:
    """The two things timed: a forward pass, and one with the gradient after it."""

    def output() -> Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out = net(x, noise)
        return (out if isinstance(out, Tensor) else out.sample).float()

    def forward() -> None:
        with torch.no_grad():
            output()

    def step() -> None:
        net.zero_grad(set_to_none=True)
        output().square().mean().backward()

    return {"forward": forward, "step": step}


def seconds(call: Callable[[], None]) -> float:
    """CPU time of one call: what other processes take of the machine does not count."""
    start = time.process_time()
    call()
    return time.process_time() - start


def measure(name: str, batch: int, rounds: int, dtype: torch.dtype) -> dict:
    torch.manual_seed(0)
    nets = [make() for make in PAIRS[name]]
    x, noise = torch.randn(batch, 1, SIZE, SIZE), torch.linspace(-3, 3, batch)
    both = [calls(net, x, noise, dtype) for net in nets]
    taken = {what: [] for what in both[0]}
    for turn in range(rounds + 2):  # two rounds warm up
        for what, rows in taken.items():
            order = (0, 1) if turn % 2 else (1, 0)
            row = {i: seconds(both[i][what]) for i in order}
            if turn >= 2:
                rows.append((row[0], row[1]))
    parameters = [sum(p.numel() for p in net.parameters()) for net in nets]
    return {
        "parameters": {"scoresde": parameters[0], "diffusers": parameters[1]},
        **{what: _summary(rows, batch) for what, rows in taken.items()},
    }


def _summary(rows: list[tuple[float, float]], batch: int) -> dict:
    low, middle, high = statistics.quantiles([theirs / ours for ours, theirs in rows], n=4)
    return {
        "ratio": round(middle, 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "images_per_second": {
            "scoresde": round(batch / statistics.median(ours for ours, _ in rows), 1),
            "diffusers": round(batch / statistics.median(theirs for _, theirs in rows), 1),
        },
    }


def machine() -> dict:
    """What the figures hold for."""
    lines = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = [line.split(":")[1].strip() for line in lines.splitlines() if "model name" in line]
    return {
        "cpu": named[0] if named else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "torch": torch.__version__,
        "diffusers": __import__("diffusers").__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = {"machine": machine(), "batch": options.batch, "rounds": options.rounds}
    print(json.dumps(report["machine"]))
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if not report["machine"]["bfloat16"]:
        del kinds["bfloat16"]
        print("bfloat16: left out, since this CPU has no instructions for it")
    for kind, dtype in kinds.items():
        report[kind] = {}
        for name in PAIRS:
            figures = measure(name, options.batch, options.rounds, dtype)
            report[kind][name] = figures
            count = figures["parameters"]
            print(f"{kind}, {name}: {count['scoresde']:,} and {count['diffusers']:,} parameters")
            for what in ("forward", "step"):
                f = figures[what]
                ours, theirs = f["images_per_second"].values()
                print(
                    f"  {what:8} {f['ratio']:.2f} times as fast "
                    f"(quartiles {f['quartiles'][0]:.2f} to {f['quartiles'][1]:.2f}); "
                    f"{ours} and {theirs} images/s"
                )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
