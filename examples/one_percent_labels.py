"""What labels are worth: an encoder is fine-tuned with 1 %, 10 % and all of them, beside one with random weights.

python examples/one_percent_labels.py runs/photos photographs/ --labels 1% 10% 100%
"""

import argparse

import sslfast

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0].replace("%", "%%"))
parser.add_argument("encoder", help="a run's directory, a file of weights, torchvision/resnet18, ...")
parser.add_argument("data", help="labeled images: a folder with a subfolder for each class")
parser.add_argument("settings", nargs="*", help="settings of the protocol, as `sslfast evaluate --help finetune`")
parser.add_argument("--labels", nargs="+", default=["1%", "10%"], help="shares of the training images")
args = parser.parse_intermixed_args()

top1 = {}
for labels in args.labels:
    # The images are the same for all encoders, balanced over the classes; their names lie beside the result.
    result = sslfast.evaluate("finetune", args.encoder, args.data, overrides=args.settings, labels=labels)
    print(result.table())
    top1 |= {(row["encoder"], labels): row["top1"] for row in result.rows}

print(f"\nheld-out top-1 by share of the labels: {', '.join(args.labels)}")
for encoder in dict.fromkeys(name for name, _ in top1):
    print(f"{encoder}: {', '.join(f'{top1[encoder, labels]:.1%}' for labels in args.labels)}")
