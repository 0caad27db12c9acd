"""A folder of photographs becomes an encoder, which is judged beside random weights, and a page about the run.

python examples/photographs.py photographs/ --out runs/photos data.batch_size=128 train.epochs=100
"""

import argparse

import sslfast

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("data", help="a folder with a subfolder for each class, which is for the judgement alone")
parser.add_argument("settings", nargs="*", help="settings over the recipe's, key.sub=value")
parser.add_argument("--recipe", default="moco_v2", help="`sslfast list` names them")
parser.add_argument("--out", default="runs/photos")
args = parser.parse_intermixed_args()

losses = []


def on_step(step, values):
    if step % 10 == 1:  # to read a value makes the host wait for the device
        losses.append(values["loss"].item())


def on_epoch(epoch, encoder):
    print(f"epoch {epoch}: loss {losses[-1]:.3f}")


# With resume=True the same command goes on with a run that was interrupted, and starts one where there is none.
run = sslfast.pretrain(
    args.recipe,
    args.out,
    data=args.data,
    overrides=args.settings,
    resume=True,
    on_step=on_step,
    on_epoch=on_epoch,
)
print(run.evaluate("knn").table())  # on the images that the run held out
print(run.evaluate("linear", protocol="fast").table())

features = run.encoder  # images (B, 3, S, S), normalized by .mean and .std -> (B, feature_dim)
print(f"{features.feature_dim} features of images of {features.side} pixels: {run.path / 'backbone.safetensors'}")
print(f"curves, results, neighbors: {run.report()}")
