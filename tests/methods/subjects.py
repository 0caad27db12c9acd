"""The methods as tests/methods/test_contract.py runs them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """How to run a method in seconds.

    Attributes:
        recipe: to start from.
        overrides: that make it small.
        without_gradient: beginnings of the names of trained parameters that a step leaves alone at first.
        moves: something moves after a step: a moving average, a queue, a bank.
        epoch: in which its loss is whole.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    without_gradient: tuple[str, ...] = ()
    moves: bool = True
    epoch: int = 0


MOCO = ("method.dim=16", "method.hidden=16", "method.queue_size=32", "method.symmetric=false")
HEAD = ("method.dim=16", "method.hidden=16")
CPC = ("method.context_blocks=1", "method.context_width=8", "method.last_step=4")
PUZZLE = ("method.trunk=16", "method.hidden=[16]")
FAST_MOCO = ("method.dim=16", "method.hidden=16", "method.predictor_hidden=8")

VIT = ("encoder.name=vit_small", "encoder.width=0.03", "encoder.patch_size=8")

SUBJECTS: dict[str, Subject] = {
    "align_uniform": Subject("align_uniform_cifar10", HEAD, moves=False),
    "barlow_twins": Subject("barlow_twins_cifar10", HEAD, moves=False),
    "byol": Subject("byol_cifar10", HEAD),
    "cmc": Subject("cmc_imagenette", ("method.dim=16", "method.noise=32")),
    "context_encoder": Subject("context_encoder_cifar10", ("method.decoder_dim=8",), moves=False),
    "context_prediction": Subject("context_prediction_cifar10", PUZZLE, moves=False),
    "cpc_v1": Subject("cpc_v1_cifar10", CPC, moves=False),
    "cpc_v2": Subject("cpc_v2_cifar10", (*CPC, "method.dim=16"), moves=False),
    "dcl": Subject("dcl_cifar10", HEAD, moves=False),
    "deepcluster": Subject("deepcluster_imagenette", ("method.clusters=8", "method.components=4"), moves=False),
    "deepcluster_v2": Subject("deepcluster_v2_cifar10", ("method.dim=16", "method.clusters=[8, 12]")),
    "densecl": Subject("densecl_cifar10", MOCO),
    "dino": Subject(
        "dino_cifar10",
        (*HEAD, "method.prototypes=12", "method.frozen_epochs=1", "data.views=swav_cifar"),
        epoch=1,
    ),
    "exemplar": Subject("exemplar_cifar10", ("method.dim=16",), moves=False),
    "fast_moco": Subject("fast_moco_cifar10", FAST_MOCO),
    "ibot": Subject("ibot_cifar10", (*VIT, *HEAD, "method.prototypes=12", "method.frozen_epochs=1"), epoch=1),
    "instdisc": Subject("instdisc_imagenette", ("method.dim=16", "method.noise=32")),
    "jigsaw": Subject("jigsaw_cifar10", (*PUZZLE, "method.classes=20"), moves=False),
    "jigsaw_clustering": Subject("jigsaw_clustering_cifar10", HEAD, moves=False),
    "lewel_b": Subject("lewel_b_cifar10", ("method.dim=16", "method.aligned_dim=8", "method.hidden=16")),
    "lewel_m": Subject("lewel_m_cifar10", (*MOCO, "method.aligned_dim=8")),
    "local_aggregation": Subject(
        "local_aggregation_imagenette",
        (
            *("method.dim=16", "method.noise=32", "method.background=16", "method.warmup_epochs=0"),
            *("method.clusters=8", "method.clusterings=2"),
        ),
    ),
    "mae": Subject(
        "mae_cifar10",
        (*VIT, "method.decoder_dim=8", "method.decoder_depth=1", "method.decoder_heads=2"),
        moves=False,
    ),
    "mncl": Subject("mncl_cifar10", (*FAST_MOCO, "method.queue_size=32")),
    "moco_v1": Subject("moco_v1_imagenette", MOCO),
    "moco_v2": Subject("moco_v2_cifar10", MOCO),
    "moco_v3": Subject("moco_v3_cifar10", HEAD),
    "msf": Subject("msf_cifar10", (*HEAD, "method.queue_size=32")),
    "nnclr": Subject("nnclr_cifar10", (*HEAD, "method.predictor_hidden=16", "method.queue_size=32")),
    "pcl": Subject("pcl_cifar10", (*MOCO, "method.clusters=[4, 8]", "method.warmup_epochs=0")),
    "pirl": Subject("pirl_cifar10", ("method.dim=16", "method.noise=32")),
    "pixpro": Subject("pixpro_cifar10", HEAD),
    "resim": Subject("resim_cifar10", MOCO),
    "rotation": Subject("rotation_cifar10", moves=False),
    "simclr": Subject("simclr_cifar10", HEAD, moves=False),
    "simsiam": Subject("simsiam_cifar10", (*HEAD, "method.predictor_hidden=8"), moves=False),
    "supcon": Subject("supcon_cifar10", HEAD, moves=False),
    "supervised": Subject("supervised_cifar10", ("method.num_classes=10",), moves=False),
    "swav": Subject(
        "swav_cifar10", ("method.prototypes=12", "method.queue_size=32", "method.queue_epoch=0"), epoch=1
    ),
    "vicreg": Subject("vicreg_cifar10", HEAD, moves=False),
}
