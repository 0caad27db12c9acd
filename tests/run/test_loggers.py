"""What the metrics go to beside metrics.jsonl: TensorBoard, W&B and MLflow without a network, one's own."""

import json
import logging
import sys

import pytest

from sslfast.errors import TrainingError, UsageError
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.run.loggers import check_loggers, named_loggers
from sslfast.run.logs import MetricsLog
from sslfast.run.metrics import read_metrics


def recipe(*services):
    return load_recipe("simclr_cifar10", [f"train.loggers=[{','.join(services)}]"])


def write(run, services, step, *, resumed_step=0):
    """Logs a step's loss and accuracy, as a run does that goes on from `resumed_step`."""
    with MetricsLog(run, resumed_step, lambda: named_loggers(recipe(*services), run, resumed_step)) as metrics:
        metrics.write(step, step / 2, loss=1 / step)
        metrics.write(step, step / 2, knn_top1=0.5)


class Lines:
    """A logger of one's own."""

    def __init__(self):
        self.lines, self.failed = [], None

    def write(self, step, epoch, values):
        self.lines.append((step, epoch, dict(values)))

    def close(self, *, failed):
        self.failed = failed


def test_ones_own_gets_what_the_file_gets(tmp_path):
    logger = Lines()
    with MetricsLog(RunDirectory(tmp_path), 0, lambda: [logger]) as metrics:
        metrics.write(1, 0.5, loss=2.0)
    assert logger.lines == [(1, 0.5, {"loss": 2.0})]
    assert logger.failed is False
    with pytest.raises(ZeroDivisionError), MetricsLog(RunDirectory(tmp_path), 1, lambda: [logger]):
        raise ZeroDivisionError
    assert logger.failed is True


def test_tensorboard_where_it_is_installed(tmp_path):
    pytest.importorskip("tensorboard")
    run = RunDirectory(tmp_path)
    write(run, (), 1)
    assert list(tmp_path.glob("events.out.*"))
    assert not run.loggers.exists()


def test_without_tensorboard_the_lines_are_written_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    run = RunDirectory(tmp_path)
    with caplog.at_level(logging.INFO, "sslfast"):
        write(run, (), 1)
    assert [line["step"] for line in read_metrics(run.metrics)] == [1, 1]
    assert not list(tmp_path.glob("events.out.*"))
    assert caplog.messages == ['no events for TensorBoard, which is not installed: pip install "sslfast[logging]"']


@pytest.mark.parametrize(("service", "package"), [("wandb", "wandb"), ("mlflow", "mlflow-skinny")])
def test_a_service_that_is_not_installed_is_one_sentence(monkeypatch, service, package):
    monkeypatch.setitem(sys.modules, service, None)
    with pytest.raises(UsageError, match=rf'^train.loggers=\[{service}\] needs {package}: pip install "sslfast\['):
        check_loggers(recipe(service))


def test_a_folder_of_a_packages_name_is_no_package(tmp_path, monkeypatch):
    """As W&B leaves one beside the scripts that it follows."""
    (tmp_path / "wandb_").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules["sslfast.extras"].EXTRAS, "wandb", {"wandb_": "wandb"})
    with pytest.raises(UsageError, match="needs wandb"):
        check_loggers(recipe("wandb"))


def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = RunDirectory(tmp_path / "photos")
    run.path.mkdir()
    sent = []
    log = wandb.Run.log
    monkeypatch.setattr(
        wandb.Run, "log", lambda self, data, step: (sent.append((step, data)), log(self, data, step))
    )
    write(run, ("wandb",), 1)
    assert sent == [(1, {"epoch": 0.5, "loss": 1.0}), (1, {"epoch": 0.5, "knn_top1": 0.5})]
    first = json.loads(run.loggers.read_text())
    write(run, ("wandb",), 2, resumed_step=1)
    assert json.loads(run.loggers.read_text()) == first
    files = [path.name for path in run.wandb.glob(f"offline-run-*/run-{first['wandb']}.wandb")]
    assert len(files) == 2
    assert set(run.contents()) >= {run.loggers, run.wandb}  # --overwrite removes them


def test_mlflow_in_a_folder(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the client alone has no database
    run = RunDirectory(tmp_path / "photos")
    run.path.mkdir()
    write(run, ("mlflow",), 1)
    (id,) = json.loads(run.loggers.read_text()).values()
    client = MlflowClient()
    assert client.get_run(id).info.status == "FINISHED"
    write(run, ("mlflow",), 2, resumed_step=1)
    assert json.loads(run.loggers.read_text()) == {"mlflow": id}
    losses = {metric.step: metric.value for metric in client.get_metric_history(id, "loss")}
    assert losses == {1: 1.0, 2: 0.5}
    found = client.get_run(id)
    assert found.info.run_name == "photos"
    assert found.data.params["train.loggers.0"] == "mlflow"
    assert found.data.params["method.name"] == "simclr"
    assert found.data.metrics["knn_top1"] == 0.5


def test_a_service_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://there")
    with pytest.raises(UsageError, match=r"train.loggers=\[mlflow\]: .*MLFLOW_TRACKING_URI"):
        named_loggers(recipe("mlflow"), RunDirectory(tmp_path), 0)


def test_a_full_disk_while_they_begin_is_one_sentence(tmp_path):
    def full():
        raise OSError(28, "No space left on device")

    with pytest.raises(TrainingError, match=r"cannot write the metrics \(No space left on device\)"):
        MetricsLog(RunDirectory(tmp_path), 0, full)
