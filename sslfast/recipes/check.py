"""The checks of a recipe before anything is read or written; the methods' own checks need the images."""

from __future__ import annotations

from sslfast.config import DataConfig, Recipe
from sslfast.data import Source
from sslfast.data.batch import rows_of_rank
from sslfast.data.pipeline import check_dali
from sslfast.data.sources.form import check_rgb
from sslfast.distributed import rank, world_size
from sslfast.encoders import RESNETS, VITS, check_side
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method


def check_recipe(recipe: Recipe) -> None:
    """Refuses settings that cannot work together.

    Raises:
        UsageError: they cannot.
    """
    check_form(recipe)
    check_num_views(recipe)
    check_warmup(recipe)
    check_batch_size(recipe)
    check_encoder(recipe)
    check_accumulate(recipe)
    check_parallel(recipe)
    check_sides(recipe)


def check_form(recipe: Recipe) -> None:
    """Refuses images of a number of channels or bits that a part of the recipe does not take.

    Raises:
        UsageError: it does not.
    """
    data = recipe.data
    check_channels(data)
    if colors := METHODS[recipe.method.name].colors_read(recipe):
        check_rgb(data, colors, "set it otherwise, or give RGB images")
    if recipe.encoder.colors != "rgb":
        check_rgb(data, f"encoder.colors={recipe.encoder.colors}", "set encoder.colors=rgb")
    if data.pipeline in ("dali", "dali_only"):
        check_dali(data)


def check_channels(data: DataConfig) -> None:
    """Refuses statistics of another number of channels, and what changes colors where there are none.

    Raises:
        UsageError: they are, or it does.
    """
    for key in ("mean", "std"):
        if len(numbers := getattr(data, key)) != data.channels:
            raise UsageError(
                f"data.{key}: expected {data.channels} numbers, one for each channel of data.channels="
                f"{data.channels}, got {list(numbers)}; set data.mean and data.std to those of the images over "
                "[0, 1], or to 0.5 and 0.25 for each channel"
            )
    if data.channels in (1, 3):  # a gray image has a color that these leave as it is
        return
    changed = []
    for number, view in enumerate(data.views):
        keys = ["grayscale"] if view.grayscale else []
        keys += [key for key in ("saturation", "hue") if view.jitter and getattr(view, key)]
        changed += [f"data.views.{number}.{key}=0" for key in keys]
    if changed:
        raise UsageError(
            f"data.channels={data.channels}: saturation, hue and grayscale are of red, green and blue, and the "
            f"views ask for some; set {' '.join(changed)}"
        )


def check_num_views(recipe: Recipe) -> None:
    """Refuses another number of views than the method's."""
    num_views = METHODS[recipe.method.name].num_views
    if num_views is not None and len(recipe.data.views) != num_views:
        raise UsageError(
            f"data.views: expected the {num_views} views of {recipe.method.name}, got {len(recipe.data.views)}"
        )


def check_warmup(recipe: Recipe) -> None:
    """Refuses a warm-up that leaves no epoch to the schedule."""
    if recipe.optim.warmup_epochs >= recipe.train.epochs:
        raise UsageError(
            f"optim.warmup_epochs={recipe.optim.warmup_epochs:g}: expected fewer than "
            f"train.epochs={recipe.train.epochs}; for so short a training set optim.warmup_epochs=0"
        )


def check_batch_size(recipe: Recipe) -> None:
    """Refuses batches that the processes cannot share, and parts too small for batch normalization."""
    processes = world_size()
    if len(rows_of_rank(recipe.data.batch_size, rank(), processes)) == 1:
        raise UsageError(
            f"data.batch_size={recipe.data.batch_size}: expected at least {2 * processes}, for batch normalization"
        )
    splits = recipe.encoder.norm_splits
    if recipe.encoder.norm == "split" and (recipe.data.batch_size % splits or recipe.data.batch_size < 2 * splits):
        raise UsageError(
            f"data.batch_size={recipe.data.batch_size}: expected a multiple of encoder.norm_splits={splits}, "
            "at least twice that, for batch normalization"
        )
    if recipe.encoder.norm == "split" and recipe.encoder.norm_splits % processes:
        raise UsageError(
            f"encoder.norm_splits={recipe.encoder.norm_splits}: expected a multiple of the {processes} processes"
        )


def check_encoder(recipe: Recipe) -> None:
    """Refuses an encoder without the tokens or the map that the method takes, or the features of its `pool`."""
    encoder, method = recipe.encoder, METHODS[recipe.method.name]
    if method.needs_tokens and (encoder.name not in VITS or encoder.colors != "rgb"):
        raise UsageError(
            f"encoder.name={encoder.name}, encoder.colors={encoder.colors}: {recipe.method.name} hides patches "
            f"from a ViT; expected one of {', '.join(VITS)}, and rgb"
        )
    if method.needs_c4 and (encoder.name not in RESNETS or encoder.colors != "rgb"):
        raise UsageError(
            f"encoder.name={encoder.name}, encoder.colors={encoder.colors}: {recipe.method.name} takes the map "
            f"before a ResNet's last stage; expected one of {', '.join(RESNETS)}, and rgb"
        )
    if encoder.pool != "class" and encoder.name not in VITS:
        raise UsageError(
            f"encoder.pool={encoder.pool}: is of {' and '.join(VITS)} only, and encoder.name={encoder.name}; set "
            "encoder.pool=class"
        )


def check_accumulate(recipe: Recipe) -> None:
    """Refuses to take a batch in parts where that is another loss, and parts that are not equal or too small."""
    parts, name, batch_size = recipe.train.accumulate, recipe.method.name, recipe.data.batch_size
    if parts == 1:
        return
    if not METHODS[name].adds_up:
        raise UsageError(
            f"train.accumulate={parts}: the loss of {name} depends on the batch as a whole, and would be another "
            "with parts of it; set train.accumulate=1, and start more processes or take a smaller data.batch_size"
        )
    divisor = parts * (recipe.encoder.norm_splits if recipe.encoder.norm == "split" else world_size())
    if batch_size % divisor or batch_size < 2 * divisor:
        raise UsageError(
            f"train.accumulate={parts}: expected a data.batch_size that is a multiple of {divisor}, at least "
            f"twice that, for batch normalization over its parts; got {batch_size}"
        )


def check_parallel(recipe: Recipe) -> None:
    """Refuses to cut weights into parts where whole ones are needed outside of the loss."""
    if recipe.train.parallel != "fsdp":
        return
    if recipe.optim.name == "lars":
        raise UsageError(
            "train.parallel=fsdp: optim.name=lars goes by the length of a whole weight, of which each process has "
            "a part; take optim.name=adamw or sgd, or train.parallel=ddp"
        )
    if recipe.train.precision == "fp16":
        raise UsageError(
            "train.parallel=fsdp: train.precision=fp16 scales the loss by whether a whole gradient is finite, of "
            "which each process has a part; take train.precision=bf16 or fp32, or train.parallel=ddp"
        )
    if METHODS[recipe.method.name].start_epoch is not Method.start_epoch:
        raise UsageError(
            f"train.parallel=fsdp: {recipe.method.name} clusters the features of whole networks between epochs; "
            "take train.parallel=ddp"
        )


def check_source(recipe: Recipe, source: Source) -> None:
    """Refuses images without the labels that the method learns from."""
    if METHODS[recipe.method.name].needs_labels and source.labels is None:
        raise UsageError(f"{source.name}: {recipe.method.name} learns from labels, and these images have none")


def check_sides(recipe: Recipe) -> None:
    """Refuses views that the method cannot cut, and images, whole or cut, that are too small for the encoder.

    Raises:
        UsageError: they are.
    """
    whole = {recipe.data.size, *recipe.data.sizes}
    for side in sorted({recipe.data.size, *METHODS[recipe.method.name].sides(recipe)}):
        try:
            check_side(recipe.encoder, side)
        except UsageError as error:
            if side in whole:
                raise
            raise UsageError(f"{recipe.method.name}, patches: {error}") from error
