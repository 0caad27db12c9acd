"""Whole runs on images of one channel, of four, and of 16 bits: trained, resumed, judged, embedded, exported."""

import json

import numpy as np
import pytest
import safetensors
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

import sslfast
from sslfast.commands.export import export
from sslfast.errors import UsageError
from tests.api.runs import LABELS, SMALL, images
from tests.data.zoo.tiff import BLACK_IS_ZERO, tiff

FORMS = {"gray": (1, np.uint8), "four": (4, np.uint8), "gray of 16 bits": (1, np.uint16)}
NO_COLORS = {f"data.views.{n}.{key}": 0 for n in range(2) for key in ("saturation", "hue", "grayscale")}


def channels_of(count, dtype):
    """Makes images of four brightnesses, (48, 20, 20, count)."""
    rgb = images()
    pixels = np.concatenate([rgb, 255 - rgb], axis=-1)[..., :count]
    return pixels if dtype == np.uint8 else pixels.astype(np.uint16) * 16 + 7  # of 12 bits


@pytest.fixture(scope="module", params=FORMS)
def made(request, tmp_path_factory):
    """Makes a run, the images of it, and its settings of these."""
    count, dtype = FORMS[request.param]
    pixels = channels_of(count, dtype)
    settings = {"data.channels": count, "data.mean": [0.5] * count, "data.std": [0.25] * count}
    settings |= {**SMALL, **NO_COLORS, "data.size": 20}
    if dtype == np.uint16:
        settings |= {"data.depth": 16, "data.range": [0, 4095]}
    out = tmp_path_factory.mktemp("channels") / "run"
    run = sslfast.pretrain("simclr", out, data=(pixels, LABELS), encoder="resnet18", **settings)
    return run, pixels, settings


def test_the_run_says_what_its_images_are(made):
    run, pixels, _ = made
    text = (run.path / "train.log").read_text()
    count = pixels.shape[-1]
    channels = "1 channel" if count == 1 else "4 channels"
    views = "; plain PyTorch makes their views" if pixels.dtype == np.uint16 else ""
    assert f"images: {channels} of {8 * pixels.itemsize} bits{views}\n" in text


def test_it_resumes_to_the_bit(made, tmp_path):
    run, pixels, settings = made
    half = tmp_path / "half"

    class Stop(Exception):
        pass

    def stop(epoch, encoder):
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        sslfast.pretrain("simclr", half, data=(pixels, LABELS), encoder="resnet18", on_epoch=stop, **settings)
    assert not (half / "backbone.safetensors").exists()
    resumed = sslfast.pretrain(None, half, data=(pixels, LABELS), resume=True)
    ours, theirs = (load_file(each.path / "backbone.safetensors") for each in (run, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_encoder_knows_its_channels(made):
    run, pixels, _ = made
    count = pixels.shape[-1]
    for name in (run.path, run.path / "backbone.safetensors"):
        encoder = sslfast.load_encoder(name)
        assert encoder.channels == encoder.conv1.weight.shape[1] == len(encoder.mean) == count


@pytest.mark.parametrize("kind", ["knn", "linear", "finetune"])
def test_it_is_judged_on_its_images(made, kind):
    run, pixels, _ = made
    settings = ["epochs=1", "batch_size=16"] if kind == "finetune" else []
    evaluation = sslfast.evaluate(
        kind, run.path, data=(pixels, LABELS), overrides=["val_fraction=0.25", *settings], random_baseline=True
    )
    assert all(0 <= row["top1"] <= 1 for row in evaluation.rows)
    with pytest.raises(UsageError, match="expected data.channels"):
        sslfast.evaluate(kind, run.path, data=(channels_of(3, np.uint8), LABELS))


def test_embeddings_are_of_all_the_levels(made):
    run, pixels, _ = made
    white = 255 if pixels.dtype == np.uint8 else 4095
    seen = torch.from_numpy(pixels.astype(np.float32) / white).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = sslfast.load_encoder(run.path)((seen - 0.5) / 0.25)
    found = sslfast.embed(run.path, data=pixels)
    torch.testing.assert_close(torch.from_numpy(found.features), expected, rtol=1e-3, atol=1e-4)


def test_torchvision_loads_it(made, tmp_path):
    run, pixels, _ = made
    count = pixels.shape[-1]
    x = torch.rand(2, count, 32, 32)
    encoder = sslfast.load_encoder(run.path)
    with torch.no_grad():
        expected = encoder(x)
    out = export(run.path, tmp_path / "tv.safetensors", "torchvision")
    with safetensors.safe_open(out, "pt") as file:
        told = file.metadata()
    assert json.loads(told["channels"]) == count
    assert f"of {count} channels" in told["conv1"]
    model = torchvision.models.resnet18()
    model.conv1 = torch.nn.Conv2d(count, 64, kernel_size=7, stride=2, padding=3, bias=False)
    model.load_state_dict(load_file(out), strict=True)
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), expected)
    with pytest.raises(UsageError, match=f"takes images of {count} channels, and of other software only encoders"):
        sslfast.load_encoder(out)


def test_timm_loads_it(made, tmp_path):
    timm = pytest.importorskip("timm")
    run, pixels, _ = made
    count = pixels.shape[-1]
    x = torch.rand(2, count, 32, 32)
    with torch.no_grad():
        expected = sslfast.load_encoder(run.path)(x)
    out = export(run.path, tmp_path / "timm.safetensors", "timm")
    model = timm.create_model("resnet18", num_classes=0, in_chans=count)
    model.load_state_dict(load_file(out), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), expected)
    out = export(run.path, tmp_path / "hub", "hf")
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)
    assert f"images of {count} channels" in (out / "README.md").read_text()


def test_onnx_has_its_channels(made, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run, pixels, _ = made
    out = export(run.path, tmp_path / "encoder.onnx", "onnx")
    session = runtime.InferenceSession(out)
    side = run.recipe.data.size
    assert session.get_inputs()[0].shape[1:] == [pixels.shape[-1], side, side]


def test_what_reads_rgb_alone_refuses_it(made, tmp_path):
    run, _, _ = made
    with pytest.raises(
        UsageError, match=r"--format detectron2 takes RGB images only, and these are of data.channels"
    ):
        export(run.path, tmp_path / "d2.pth", "detectron2")
    for kind in ("segment", "detect"):
        with pytest.raises(UsageError, match=rf"evaluate {kind} takes RGB images of 8 bits only.*by knn, linear"):
            sslfast.evaluate(kind, run.path, data="shapes")


def test_weights_of_other_channels_are_refused(made, tmp_path):
    run, pixels, _ = made
    count = pixels.shape[-1]
    with pytest.raises(
        UsageError, match=f"are of data.channels={count}, and the recipe has data.channels=3; set the former"
    ):
        sslfast.pretrain(
            "simclr",
            tmp_path / "out",
            data=images(),
            **{**SMALL, "data.size": 20, "encoder.weights": str(run.path)},
        )


def test_its_report_is_drawn(made):
    run, _, _ = made
    assert run.report().is_file()


def test_12_bits_in_files_reach_the_encoder_whole(tmp_path):
    random, folder = np.random.default_rng(0), tmp_path / "scans"
    for number in range(36):
        scan = random.permutation(4096)[:400].reshape(20, 20, 1).astype(np.uint16)
        path = folder / f"{number % 2}" / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiff(scan, BLACK_IS_ZERO))
    seen = []

    def watch(epoch, encoder):
        encoder.register_forward_pre_hook(lambda _, images: seen.append(len(images[0][0].unique())))

    plain = {f"data.views.{n}.{key}": 0 for n in range(2) for key in ("jitter", "grayscale", "blur", "flip")}
    whole = {f"data.views.{n}.{key}": [1, 1] for n in range(2) for key in ("scale", "ratio")}
    form = {"data.channels": 1, "data.depth": 16, "data.range": [0, 4095], "data.mean": [0.5], "data.std": [0.25]}
    settings = {
        **SMALL,
        "data.size": 20,
        "data.pipeline": "pillow",
        "train.knn_every": 0,
        **form,
        **plain,
        **whole,
    }
    run = sslfast.pretrain(
        "simclr", tmp_path / "run", data=str(folder), encoder="resnet18", on_epoch=watch, **settings
    )
    assert seen
    assert set(seen) == {400}  # each pixel's level is its own
    evaluation = sslfast.evaluate("knn", run.path, data=str(folder), random_baseline=False)
    assert 0 <= evaluation.rows[0]["top1"] <= 1
    assert len(sslfast.embed(run.path, data=str(folder)).features) == 36
    for number in range(3):
        Image.new("RGB", (20, 20)).save(folder / "0" / f"color{number}.png")
    with pytest.raises(UsageError, match=r"cannot be read.*3 channels .*expected 1, as data.channels=1"):
        sslfast.embed(run.path, data=str(folder))
