"""Methods of one's own: a class of 20 lines trains as the package's do, and what is no method is refused."""

from typing import ClassVar, Literal
from unittest.mock import patch

import pytest
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import nn

import sslfast
from sslfast import kernels as K
from sslfast.config.fields import STRICT, Positive
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method
from sslfast.methods.simclr import SimCLR
from sslfast.recipes.load import load_recipe


@dataclass(config=STRICT)
class ContrastConfig:
    name: Literal["contrast"]
    temperature: Positive = 0.2


class Contrast(Method):
    """The views of an image attract each other. The rest repel."""

    Config, num_views = ContrastConfig, 2
    defaults: ClassVar = {"data": {"views": "moco_v2", "views.1.blur": 0.25, "size": 16}, "encoder.stem": "cifar"}

    def __init__(self, recipe, encoder, num_images):
        super().__init__(recipe, encoder, num_images)
        self.head = nn.Linear(encoder.feature_dim, 8)

    def loss(self, batch):
        z1, z2 = (F.normalize(self.head(self.encoder(view)), dim=1) for view in batch.views)
        return K.nt_xent(z1, z2, temperature=self.config.temperature), {}, None


@pytest.fixture(autouse=True)
def _own_methods():
    """Takes away the methods that a test registers, after it."""
    with patch.dict(METHODS):
        yield


def test_its_class_trains_and_its_name_stands_for_it(tmp_path):
    settings = {"data.limit": 40, "data.batch_size": 16, "encoder.width": 0.0625, "train.epochs": 1}
    run = sslfast.pretrain(Contrast, tmp_path / "run", data="shapes", method={"temperature": 0.5}, **settings)
    recipe = run.recipe
    assert (recipe.method.name, recipe.method.temperature, recipe.data.size) == ("contrast", 0.5, 16)
    assert [view.blur for view in recipe.data.views] == [0.5, 0.25]
    assert run.encoder.feature_dim == 32
    assert load_recipe("contrast").method == ContrastConfig("contrast")
    assert sslfast.list_methods("contr") == {"contrast": "The views of an image attract each other."}
    with pytest.raises(UsageError, match="unknown key 'method.temprature'; did you mean 'method.temperature'"):
        load_recipe("contrast", ["method.temprature=1"])
    del METHODS["contrast"]
    with pytest.raises(UsageError, match="no method 'contrast'.*; one of your own is to be registered first"):
        _ = run.recipe


def test_a_class_takes_the_place_of_its_former_form():
    again = type("Contrast", (Contrast,), {})
    assert sslfast.register_method(Contrast) is Contrast
    assert sslfast.register_method(again) is again
    assert METHODS["contrast"] is again
    assert sslfast.register_method(SimCLR) is SimCLR  # as it is known already


def config(annotation, strict=STRICT):
    """Makes a dataclass of settings with a name of this type."""
    cls = type("Config", (), {"__annotations__": {"name": annotation}})
    return dataclass(config=strict)(cls)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (nn.Linear, "expected a subclass of sslfast.methods.Method, got <class 'torch.nn.*Linear'>"),
        (type("Own", (Method,), {}), "Own: lacks __init__, loss"),
        (type("Own", (Method,), {"__init__": None, "loss": None}), "Own: lacks Config"),
        (type("Own", (Contrast,), {"Config": nn.Linear}), "Own.Config: expected a dataclass of pydantic"),
        (type("Own", (Contrast,), {"Config": config(str)}), "expected .* one word.* got <class 'str'>"),
        (type("Own", (Contrast,), {"Config": config(Literal["a b"])}), "in lower-case letters"),
        (type("Own", (Contrast,), {"Config": config(Literal["own"], None)}), "pass over a misspelt setting"),
        (type("Own", (SimCLR,), {}), "Own: Config.name is 'simclr', which sslfast has; choose another"),
        (type("Own", (Contrast,), {"Config": config(Literal["swav_cifar10"])}), "which sslfast has"),
        (type("Own", (Contrast,), {"defaults": {"data.sise": 5}}), "Own.defaults: .*did you mean 'data.size'"),
        (
            type("Own", (Contrast,), {"defaults": {"data.views": "swav"}}),
            "expected the 2 views of contrast, got 8",
        ),
    ],
)
def test_what_is_no_method(method, message):
    before = dict(METHODS)
    with pytest.raises(UsageError, match=message):
        sslfast.register_method(method)
    assert before == METHODS
