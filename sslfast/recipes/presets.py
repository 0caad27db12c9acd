"""The views of each method, by the name that a recipe's `data.views` may give in place of a list.

A view states the settings that differ from the defaults of `ViewConfig`: crops of 0.2 to 1 of the area, flips,
color jitter of (0.4, 0.4, 0.4, 0.1) with probability 0.8, grayscale with 0.2, neither blur nor solarization. The
size is data.size unless a view states its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

View = Mapping[str, Any]

FROM_008 = {"scale": [0.08, 1.0]}
WITHOUT_COLOR: View = {"jitter": 0.0, "grayscale": 0.0}

# He et al. 2020 (arXiv:1911.05722), section 3.3, and their code: InstDisc's (Wu et al. 2018).
MOCO_V1: View = {"jitter": 1.0, "hue": 0.4}
# Chen et al. 2020 (arXiv:2003.04297), section 3, and their code.
MOCO_V2: View = {"blur": 0.5}
# Chen et al. 2020 (arXiv:2002.05709), appendix A: color distortion of strength 1.
SIMCLR: View = {**FROM_008, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "blur": 0.5}
# Grill et al. 2020 (arXiv:2006.07733), appendix B, table 6: T and T'.
BYOL: View = {**FROM_008, "saturation": 0.2, "blur": 1.0}
BYOL_PRIME: View = {**BYOL, "blur": 0.1, "solarize": 0.2}
PIRL: View = {"jitter": 1.0, "hue": 0.2, "scale": [0.6, 1.0]}
# For tasks within one view. Their papers crop 224 or 225 pixels out of images whose shorter side is
# 256: 0.77 of a square image's area, half of a 3:2 photograph's. The range between is ours.
SQUARE_CROP: View = {**WITHOUT_COLOR, "scale": [0.5, 0.77], "ratio": [1.0, 1.0]}

# Caron et al. 2020 (arXiv:2006.09882), section 4.1 and appendix A: SimCLR's distortion; crops of two sizes.
SWAV: View = {**SIMCLR, "scale": [0.14, 1.0]}
SWAV_LOCAL: View = {**SIMCLR, "scale": [0.05, 0.14], "size": 96}
DINO_GLOBAL = {"scale": [0.4, 1.0]}
DINO_LOCAL: View = {**BYOL, "scale": [0.05, 0.4], "blur": 0.5}

# Chen, Liu, Jia 2021 (arXiv:2104.00323), their code (cross-ratio 0.3): patches that reach 0.3 of a side beyond the
# image's middle, of which each is augmented by itself, with MoCo v2's transformations.
JIGSAW_CLUSTERING: list[View] = [
    {**MOCO_V2, "region": [top, left, top + 0.8, left + 0.8]} for top in (0.0, 0.2) for left in (0.0, 0.2)
]

PRESETS: dict[str, list[View]] = {
    "moco_v1": [MOCO_V1] * 2,
    "moco_v2": [MOCO_V2] * 2,
    # The CIFAR demo of MoCo's authors: crops of torchvision's default scale, no blur.
    "moco_v2_cifar": [FROM_008] * 2,
    "simclr": [SIMCLR] * 2,
    # SimCLR, appendix B.9: color distortion of strength 0.5, no blur.
    "simclr_cifar": [FROM_008] * 2,
    # The Imagenette benchmark in lightly's documentation: strength 0.5 too, with blur.
    "simclr_128": [{**FROM_008, "blur": 0.5}] * 2,
    "byol": [BYOL, BYOL_PRIME],
    # Zbontar et al. 2021 (arXiv:2103.03230), section 2.2: BYOL's.
    "barlow_twins": [BYOL, BYOL_PRIME],
    # Bardes et al. 2022 (arXiv:2105.04906), their code: BYOL's. On CIFAR: solo-learn's recipe.
    "vicreg": [BYOL, BYOL_PRIME],
    "vicreg_cifar": [{"saturation": 0.2, "solarize": 0.1}] * 2,
    # Huang et al. 2022 (CVPR), section 3.3: BYOL's; with MoCo's crops, as in their code.
    "lewel_b": [{**BYOL, "scale": [0.2, 1.0]}, {**BYOL_PRIME, "scale": [0.2, 1.0]}],
    # Chen and He 2021 (arXiv:2011.10566), section 3, "baseline settings": MoCo v2's; appendix D: without blur.
    "simsiam": [MOCO_V2] * 2,
    "simsiam_cifar": [{}] * 2,
    # 2 x 224 + 6 x 96 pixels; at 128 and 32 pixels the small crops shrink alike, and there are fewer: ours.
    "swav": [SWAV] * 2 + [SWAV_LOCAL] * 6,
    "swav_two_views": [SWAV] * 2,
    "swav_128": [SWAV] * 2 + [{**SWAV_LOCAL, "size": 56}] * 4,
    "swav_cifar": [{"scale": [0.2, 1.0]}] * 2 + [{"scale": [0.1, 0.4], "size": 16}] * 2,
    # The same paper, appendix D.
    "deepcluster_v2": [SWAV] * 2 + [SWAV_LOCAL] * 6,
    "deepcluster_v2_128": [SWAV] * 2 + [{**SWAV_LOCAL, "size": 56}] * 4,
    # Caron et al. 2021 (arXiv:2104.14294), their code: BYOL's colors, 2 x 224 + 8 x 96 pixels; and for ResNets.
    "dino": [{**BYOL, **DINO_GLOBAL}, {**BYOL_PRIME, **DINO_GLOBAL}] + [{**DINO_LOCAL, "size": 96}] * 8,
    "dino_resnet": [{**BYOL, "scale": [0.14, 1.0]}, {**BYOL_PRIME, "scale": [0.14, 1.0]}]
    + [{**DINO_LOCAL, "scale": [0.05, 0.14], "size": 96}] * 8,
    # Zhou et al. 2022 (arXiv:2111.07832), their code: DINO's, other crops; at 128 pixels fewer and smaller: ours.
    "ibot": [{**view, "scale": [0.25, 1.0]} for view in (BYOL, BYOL_PRIME)]
    + [{**DINO_LOCAL, "scale": [0.05, 0.25], "size": 96}] * 10,
    "ibot_128": [{**view, "scale": [0.25, 1.0]} for view in (BYOL, BYOL_PRIME)]
    + [{**DINO_LOCAL, "scale": [0.05, 0.25], "size": 64}] * 4,
    # lightly's benchmarks: on Imagenette fewer and smaller local crops, on CIFAR-10 none, and no blur.
    "dino_128": [{**BYOL, **DINO_GLOBAL}, {**BYOL_PRIME, **DINO_GLOBAL}] + [{**DINO_LOCAL, "size": 64}] * 6,
    "dino_cifar": [{**BYOL, **DINO_GLOBAL, "blur": 0.0}, {**BYOL_PRIME, **DINO_GLOBAL, "blur": 0.0}],
    # Caron et al. 2018 (arXiv:1807.05520), section 3.3: crops and flips.
    "deepcluster": [{**WITHOUT_COLOR, **FROM_008}],
    # He et al. 2022 (arXiv:2111.06377), section 4: crops and flips; of 0.2 to 1, in their code.
    "mae": [WITHOUT_COLOR],
    # Wu et al. 2018 (arXiv:1805.01978), their code.
    "instdisc": [MOCO_V1],
    # Li et al. 2021 (arXiv:2005.04966), their code: MoCo v2's.
    "pcl": [MOCO_V2] * 2,
    # Li et al. (MNCL), section 4: crops, flips, color distortion, blur; the strengths are MoCo v2's: ours.
    "mncl": [MOCO_V2] * 3,
    # Koohpayegani et al. 2021 (arXiv:2105.07269), their code: MoCo v2's to predict from, and for the
    # target crops and flips.
    "msf": [MOCO_V2, WITHOUT_COLOR],
    "msf_cifar": [{}, WITHOUT_COLOR],
    # Tian et al. 2020 (arXiv:1906.05849): their code crops and flips; the colors are the views.
    "cmc": [WITHOUT_COLOR],
    # Misra and van der Maaten 2020 (arXiv:1912.01991), section 3.2, and their code: the image, and what the cells
    # are cut from. Theirs flips and colors the patches one by one, ours the view.
    # At 128 and 32 pixels cells of 49 and of 16, patches of 36 and of 12: ours.
    "pirl": [{**PIRL, **FROM_008}, {**PIRL, "size": 255}],
    "pirl_128": [{**PIRL, **FROM_008}, {**PIRL, "size": 147}],
    "pirl_cifar": [{}, {"size": 48, "scale": [0.6, 1.0]}],
    # Goyal et al. 2017 (arXiv:1706.02677), section 5.1: crops and flips.
    "supervised": [{**WITHOUT_COLOR, **FROM_008}],
    # Ours, for the usual shifts by up to 4 pixels, and flips.
    "supervised_cifar": [{**WITHOUT_COLOR, "scale": [0.4, 1.0]}],
    # Van den Oord et al. 2018 (arXiv:1807.03748), section 3.2: 256 pixels out of 300, flips, always grayscale.
    "cpc": [{**SQUARE_CROP, "scale": [0.5, 0.73], "grayscale": 1.0}],
    # Henaff et al. 2020 (arXiv:1905.09272): in color, which `views.drop_colors` drops patch by patch.
    "cpc_v2": [{**SQUARE_CROP, "scale": [0.5, 0.73]}],
    # Noroozi and Favaro 2016 (arXiv:1603.09246), section 4: 225 out of 256; a share of the images is gray.
    "jigsaw": [{**SQUARE_CROP, "flip": 0.0, "grayscale": 0.3}],
    # Patches of half the montage's side: of 112 pixels (theirs), and ours of 64 and, without blur, of 16.
    "jigsaw_clustering": [{**view, "size": 112} for view in JIGSAW_CLUSTERING],
    "jigsaw_clustering_128": [{**view, "size": 64} for view in JIGSAW_CLUSTERING],
    "jigsaw_clustering_cifar": [{**view, "size": 16, "blur": 0.0} for view in JIGSAW_CLUSTERING],
    # Doersch et al. 2015 (arXiv:1505.05192), section 3: patches of whole images, altered one by one.
    "context": [{**SQUARE_CROP, "scale": [0.5, 1.0], "flip": 0.0}],
    # Pathak et al. 2016 (arXiv:1604.07379), their code: crops and flips; of 0.2 to 1: ours.
    "context_encoder": [WITHOUT_COLOR],
    # Gidaris et al. 2018 (arXiv:1803.07728) and their code: 224 out of 256, flips.
    "rotation": [SQUARE_CROP],
    # Dosovitskiy et al. 2016 (arXiv:1406.6909): `views.surrogate` makes the transformations.
    "exemplar": [{**WITHOUT_COLOR, "scale": [1.0, 1.0], "ratio": [1.0, 1.0], "flip": 0.0}],
}
