r"""A network that someone else trained, sampled by scoresde's solvers.

    python tools/pretrained_mnist.py --table      # measures, writes docs/foreign.md and .png
    scoresde sample configs/pretrained_mnist.toml # the same model on the command line

The network (github.com/Yichizz/hot_vs_cold_diffusion, MIT) predicts eps on a discrete chain,
beta_i = 1e-4 + (0.02 - 1e-4) i/1000 for i = 0..1000, of MNIST images as pixels/255 - 0.5. So its
index 0 is the chain's first instant and the chain has 1001 steps; its time input is i/1000, which
serves between the indices too. Its weights are read from an npz file of the state's names.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scoresde.errors import UsageError
from scoresde.kernels import Noise
from scoresde.processes import DiscreteDDPM
from scoresde.samplers import DDIM, DPMSolverPP2M, Heun, sample, start
from scoresde.samplers.grids import Grid, Karras, UniformLogSNR, UniformTime
from scoresde.score import DiscreteNetwork

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT.parent / "shared" / "data" / "models" / "yichizz_ddpm_mnist_starter.npz"
PREFIX = "gt."
CHAIN = DiscreteDDPM(betas=tuple(1e-4 + (0.02 - 1e-4) * i / 1000 for i in range(1001)))
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
EVALUATIONS = (10, 20, 50)


class Block(nn.Module):
    """7x7 convolution, layer norm over (C, 28, 28), GELU."""

    def __init__(self, inward: int, outward: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inward, outward, 7, padding=3), nn.LayerNorm((outward, 28, 28)), nn.GELU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class StarterNet(nn.Module):
    """eps of z (batch, 1, 28, 28) at an index (batch,) from 0 to 1000, fractions allowed."""

    def __init__(self):
        super().__init__()
        widths = (1, 16, 32, 32, 16)
        blocks = [Block(a, b) for a, b in pairwise(widths)]
        self.blocks = nn.ModuleList([*blocks, nn.Conv2d(16, 1, 3, padding=1)])
        self.register_buffer("frequencies", torch.zeros(16))
        sizes, layers = (32, 128, 128, 128, 16), []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.GELU()]
        self.time_embed = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor, index: Tensor) -> Tensor:
        phase = (index / 1000.0)[:, None] * self.frequencies
        time = self.time_embed(torch.cat([phase.sin(), phase.cos() - 1.0], dim=1))
        first, *rest = self.blocks
        h = first(z) + time[:, :, None, None]
        for block in rest:
            h = block(h)
        return h


def model(path: str = str(WEIGHTS)) -> DiscreteNetwork:
    """The network as a score model: what a [model] section's factory returns."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = {k.removeprefix(PREFIX): torch.from_numpy(stored[k]) for k in stored.files}
    except OSError as error:
        raise UsageError(f"no weights at {path}: {error}") from None
    betas = state.pop("beta_t").double()
    state.pop("alpha_t")
    if not torch.allclose(betas, CHAIN.table, rtol=1e-6, atol=0.0):
        raise UsageError(f"the betas in {path} are not those of the network's description")
    net = StarterNet()
    net.load_state_dict(state)
    return DiscreteNetwork(
        net.eval().requires_grad_(False), (1, 28, 28), CHAIN, kind="eps", first_index=0,
        sigma_data=0.31,
    )  # fmt: skip


def methods(evaluations: int) -> dict[str, tuple[object, Grid]]:
    """Solver and grid of at most that many evaluations; Heun's last step costs one, others two."""
    steps, half = evaluations, (evaluations + 1) // 2
    return {
        "DDIM, uniform in time": (DDIM(), UniformTime(steps=steps)),
        "DDIM, Karras": (DDIM(), Karras(steps=steps)),
        "Heun, Karras": (Heun(), Karras(steps=half)),
        "DPM-Solver++(2M), uniform in log SNR": (DPMSolverPP2M(), UniformLogSNR(steps=steps)),
        "DPM-Solver++(2M), Karras": (DPMSolverPP2M(), Karras(steps=steps)),
    }


def paired_rms(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square over the pixels of each sample's difference, (batch,), in pixels/255."""
    return (a - b).square().flatten(1).mean(1).sqrt()


def measure(network: DiscreteNetwork, n: int, fine: int):
    """Errors {method: {evaluations: (mean, standard error)}}, the reference's own, and pictures.

    The reference is Heun on a Karras grid of `fine` steps; its own error is taken as the distance
    to the solution on half as many steps.
    """
    ids, noise = torch.arange(n), Noise(0)
    x = start(CHAIN.at(1.0), noise, ids, (1, 28, 28)).float()

    def carried(solver, grid):
        return sample(network, solver, grid.levels(CHAIN), x, noise, ids=ids)

    reference = carried(Heun(), Karras(steps=fine)).x
    own = paired_rms(carried(Heun(), Karras(steps=fine // 2)).x, reference)
    errors, pictures = {}, {"reference": reference}
    for evaluations in EVALUATIONS:
        for name, (solver, grid) in methods(evaluations).items():
            made = carried(solver, grid)
            error = paired_rms(made.x, reference).double()
            se = float(error.std()) / math.sqrt(n)
            errors.setdefault(name, {})[int(made.nfe[0])] = (float(error.mean()), se)
            if evaluations == EVALUATIONS[0]:
                pictures[f"{name}, {int(made.nfe[0])}"] = made.x
    return errors, float(own.mean()), pictures


def table(errors: dict, own: float, n: int, fine: int) -> list[str]:
    """Markdown: one row a method, the evaluations spent beside each error."""
    lines = [
        "| solver, grid | " + " | ".join(f"about {e} evaluations" for e in EVALUATIONS) + " |",
        "|---" * (1 + len(EVALUATIONS)) + "|",
    ]
    for name, found in errors.items():
        cells = [f"{mean:.4f} ± {se:.4f} ({nfe})" for nfe, (mean, se) in found.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Mean ± standard error over {n} samples of the root-mean-square difference (black 0, "
        f"white 1) from Heun's solution in {fine} steps from the same starts, whose own error is "
        f"about {own:.4f}; in brackets the evaluations spent.",
    ]
    return lines


def picture(pictures: dict[str, Tensor], path: Path, columns: int = 12) -> None:
    """Rows of digits: the reference, then every method at the fewest evaluations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(pictures), 1, figsize=(7.2, 0.78 * len(pictures)))
    for axis, (name, x) in zip(axes, pictures.items(), strict=True):
        axis.imshow(torch.cat(list(x[:columns, 0]), dim=1), cmap="gray", vmin=-0.5, vmax=0.5)
        axis.set_title(name if name == "reference" else f"{name} evaluations", fontsize=7, pad=2)
        axis.axis("off")
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true", help="measure and write docs/foreign.*")
    parser.add_argument("--weights", default=str(WEIGHTS))
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--fine", type=int, default=200)
    arguments = parser.parse_args()
    if not arguments.table:
        parser.print_help()
        return
    document = ROOT / "docs" / "foreign.md"
    if END not in document.read_text().partition(BEGIN)[2]:
        sys.exit(f"{document} has no {BEGIN} ... {END}")
    torch.set_num_threads(1)
    errors, own, pictures = measure(model(arguments.weights), arguments.n, arguments.fine)
    lines = "\n".join(table(errors, own, arguments.n, arguments.fine))
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{lines}\n{END}{rest.partition(END)[2]}")
    picture(pictures, ROOT / "docs" / "foreign.png")
    print(lines)


if __name__ == "__main__":
    main()
