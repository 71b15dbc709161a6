"""Laws of the training times: the density is that of the draws, for every process."""

import pytest
import torch
from scipy import stats

from scoresde.errors import OptionError
from scoresde.kernels import uniform
from scoresde.objectives import TIMES, LogNormalTimes
from scoresde.objectives.times import LogSNRCosineTimes, LogSNRUniformTimes
from scoresde.processes import EDM, PROCESSES, VPCosine

CONTINUOUS = [name for name in PROCESSES.members if name != "ddpm"]
CLOSED = [name for name in PROCESSES.members if name != "learned"]  # t(log SNR) in closed form


@pytest.mark.parametrize("law", TIMES.members)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "learned" else ()) for n in CONTINUOUS],
)
def test_the_density_is_the_slope_of_the_distribution_function(name, law):
    process, times = PROCESSES[name](), TIMES[law]()
    u = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
    step = 1e-6
    (before, _), (_, density), (after, _) = (
        times.draw(u + h, process) for h in (-step, 0.0, step)
    )
    slope = 2.0 * step / (after - before)
    torch.testing.assert_close(density, slope, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("law", TIMES.members)
@pytest.mark.parametrize("name", PROCESSES.members)
def test_the_density_integrates_to_one(name, law):
    process, times = PROCESSES[name](), TIMES[law]()
    points = 1_001 if name == "learned" else 200_001  # its times are solved for
    u = torch.linspace(0.0, 1.0, points, dtype=torch.float64)[1:-1]
    t, density = times.draw(u, process)
    assert bool((t[1:] >= t[:-1]).all())
    assert float(t[0]) >= process.t_min
    assert float(t[-1]) <= 1.0
    # the chain's rates are one-sided at the knots; the points leave 2/points of the mass out
    tolerance = 5e-3 if name == "ddpm" else 2e-4 if name != "learned" else 4e-3
    assert float(torch.trapezoid(density, t)) == pytest.approx(1.0, abs=tolerance)


@pytest.mark.parametrize("name", CLOSED)
def test_log_normal_times_have_a_cut_off_normal_log_noise_ratio(name):
    process, mean, std = PROCESSES[name](), -0.8, 1.1
    u = uniform(11, 7, 0, torch.arange(4000), (1,))[:, 0]
    t, _ = LogNormalTimes(mean=mean, std=std).draw(u, process)
    low, high = (-0.5 * process.at(end).log_snr for end in (process.t_min, 1.0))
    law = stats.truncnorm((low - mean) / std, (high - mean) / std, loc=mean, scale=std)
    found = stats.kstest((-0.5 * process.log_snr(t)).numpy(), law.cdf)
    assert found.pvalue > 0.01


@pytest.mark.parametrize("name", CLOSED)
def test_laws_of_log_snr_are_uniform_and_a_hyperbolic_secant(name):
    process, u = PROCESSES[name](), uniform(12, 7, 0, torch.arange(4000), (1,))[:, 0]
    high, low = (process.at(end).log_snr for end in (process.t_min, 1.0))
    low = max(low, -6.0)
    t, _ = LogSNRUniformTimes(low=-6.0, high=30.0).draw(u, process)
    spread = stats.uniform(low, high - low)
    assert stats.kstest(process.log_snr(t).numpy(), spread.cdf).pvalue > 0.01

    t, _ = LogSNRCosineTimes(shift=1.0).draw(u, process)
    law = stats.hypsecant(loc=1.0, scale=2.0)  # sech((lambda - 1)/2)/(2 pi)
    least, most = law.cdf(process.at(1.0).log_snr), law.cdf(high)
    found = stats.kstest(
        process.log_snr(t).numpy(), lambda x: (law.cdf(x) - least) / (most - least)
    )
    assert found.pvalue > 0.01


def test_the_cosine_law_is_the_cosine_process_in_uniform_time():
    """Under the cosine process without offset, alpha = cos(pi t/2): t itself is uniform."""
    process = VPCosine(offset=0.0)
    u = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    t, density = LogSNRCosineTimes().draw(u, process)
    expected, flat = TIMES["uniform"]().draw(u, process)
    torch.testing.assert_close(t, expected, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(density, flat, rtol=1e-9, atol=0.0)


def test_a_narrow_law_of_log_snr_outside_the_process_is_refused():
    with pytest.raises(OptionError, match=r"have no mass in the range of EDM; widen low and high"):
        LogSNRUniformTimes(low=20.0, high=30.0).draw(torch.tensor([0.5]).double(), EDM())
    with pytest.raises(OptionError, match=r"have no mass in the range of EDM; bring the shift"):
        LogSNRCosineTimes(shift=300.0).draw(torch.tensor([0.5]).double(), EDM())


@pytest.mark.parametrize("mean", [-60.0, 60.0])
def test_times_without_mass_in_the_range_of_the_process_are_refused(mean):
    with pytest.raises(OptionError, match="have no mass in the range of EDM"):
        LogNormalTimes(mean=mean).draw(torch.tensor([0.5], dtype=torch.float64), EDM())
