"""The wheels for a machine that cannot fetch them: which they are, and whether they are all there."""

import zipfile

import pytest

from sslfast.benchmarks import gpu_pack


@pytest.fixture
def wheel(tmp_path):
    """Gives wheel(name, *requirements, tag=), which makes a wheel of version 2.0 that has metadata only."""

    def make(name, *requirements, tag="py3-none-any"):
        lines = ["Metadata-Version: 2.1", f"Name: {name}", *(f"Requires-Dist: {line}" for line in requirements)]
        with zipfile.ZipFile(tmp_path / f"{name.replace('-', '_')}-2.0-{tag}.whl", "w") as archive:
            archive.writestr(f"{name}-2.0.dist-info/METADATA", "\n".join(lines) + "\n")

    return make


def test_a_complete_folder(wheel, tmp_path):
    wheel("a", "B_c>=1", "numpy", "x; python_version < '3.12'", "y; extra == 'more'", "z; sys_platform == 'win32'")
    wheel("b_c", tag="cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64")
    wheel("d", tag="cp311-abi3-manylinux_2_28_x86_64")
    assert gpu_pack.missing(tmp_path, ["a", "numpy"], {"numpy"}, "3.12") == []


@pytest.mark.parametrize(
    ("requirement", "tag", "problem"),
    [
        ("c", "py3-none-any", "a-2.0-py3-none-any.whl requires c, which is not there"),
        ("b>2", "py3-none-any", "a-2.0-py3-none-any.whl requires b>2, and 2.0 is there"),
        (
            "b",
            "cp311-cp311-manylinux1_x86_64",
            "a-2.0-cp311-cp311-manylinux1_x86_64.whl is not for Python 3.12 on Linux",
        ),
        (
            "b",
            "cp312-cp312-macosx_11_0_arm64",
            "a-2.0-cp312-cp312-macosx_11_0_arm64.whl is not for Python 3.12 on Linux",
        ),
    ],
    ids=["no such wheel", "another version", "another Python", "another system"],
)
def test_what_is_missing_is_said(requirement, tag, problem, wheel, tmp_path):
    wheel("a", requirement, tag=tag)
    wheel("b")
    assert (
        gpu_pack.missing(tmp_path, ["a", "b", "root"], (), "3.12")
        == [problem, "root is not there"][:: -1 if "requires" in problem else 1]
    )


def test_what_is_needed_is_what_the_machine_lacks():
    everything = gpu_pack.needed(gpu_pack.ROOTS, (), "3.12")
    assert {"torch", "pydantic", "pydantic-core", "expecttest", "execnet"} <= everything
    assert "ruff" not in everything
    some = gpu_pack.needed(gpu_pack.ROOTS, {"torch", "torchvision", "triton", "tensorboard"}, "3.12")
    assert not {"torch", "tensorboard", "grpcio"} & some
    assert some <= gpu_pack.locked("3.12").keys()


def test_what_training_needs_is_there():
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    project = tomllib.loads((gpu_pack.HERE / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    assert {requirement.name for requirement in gpu_pack.required(lines, "3.12")} <= {*gpu_pack.ROOTS}


def test_a_version_is_the_locked_one_for_the_machines_python():
    assert gpu_pack.locked("3.11")["scipy"] != gpu_pack.locked("3.12")["scipy"]


def test_the_command_fetches_checks_and_says_what_it_has(wheel, tmp_path, monkeypatch, capsys):
    asked = {}

    def download(names, versions, folder, python):
        asked.update(dict.fromkeys(names, python))
        for name in names - {"pydantic-core"}:
            wheel(name)

    monkeypatch.setattr(gpu_pack, "download", download)
    (tmp_path / "present.txt").write_text(
        "numpy==2.5.2\nPillow==13\nscikit-learn==1.9\nmatplotlib==3\ntensorboard==2\n"
    )
    assert gpu_pack.main(["--present", str(tmp_path / "present.txt"), "--out", str(tmp_path)]) == 0
    assert asked["pydantic"] == "3.12"
    assert not {"torch", "pillow", "scikit-learn", "scipy"} & asked.keys()
    assert "complete" in capsys.readouterr().out
