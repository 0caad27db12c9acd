"""Makes a pytest-benchmark of every case, pass and provider of a module's BENCHMARK."""

import pytest
import torch


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "step" not in metafunc.fixturenames:
        return
    benchmark = metafunc.module.BENCHMARK
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choices = [
        pytest.param((case, provider, pass_name, device), id=f"{case} {pass_name} {provider}")
        for case in benchmark.cases(device)
        for pass_name in benchmark.passes
        if pass_name != "backward"  # pytest-benchmark would time the forward pass before it too
        for provider in benchmark.providers(device)
    ]
    metafunc.parametrize("step", choices, indirect=True)


@pytest.fixture
def step(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """Makes one call of the op, complete on its device when it returns."""
    case, provider, pass_name, device = request.param
    torch.compiler.reset()
    call = request.module.BENCHMARK.step(case, provider, pass_name, device)
    if call is None:
        pytest.skip(f"{provider} cannot do this case")
    call()  # compiles

    def synchronized() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return synchronized
