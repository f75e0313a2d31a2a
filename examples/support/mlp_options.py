"""The command line of the lesson mnist_mlp."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from .cli import Parser, add_common, add_dataset, float_in_range, int_in_range

# The digits are few (1,438): smaller batches and more epochs make up the number of steps.
EPOCHS = {"mnist": 15, "fashion": 15, "digits": 40}
BATCH_SIZES = {"mnist": 128, "fashion": 128, "digits": 32}
LEARNING_RATES = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}


def parse_options(lesson: str | None) -> argparse.Namespace:
    """The options of the command line. Those that were omitted and depend on others are None; see `fill_defaults`."""
    parser = Parser(lesson)
    parser.add_argument(
        "--hidden",
        type=int_in_range(1, 10**6),
        nargs="+",
        default=[128, 64],
        metavar="N",
        help="sizes of the hidden layers (default 128 64)",
    )
    parser.add_argument(
        "--epochs", type=int_in_range(1), metavar="N", help="passes over the training set (default 15; digits 40)"
    )
    parser.add_argument(
        "--batch-size", type=int_in_range(1), metavar="N", help="images per step (default 128; digits 32)"
    )
    parser.add_argument(
        "--lr", type=float_in_range(above=True), help="learning rate (default: sgd 0.1, adam and adamw 0.001)"
    )
    parser.add_argument("--optimizer", choices=list(LEARNING_RATES), default="sgd", help="default sgd")
    parser.add_argument("--momentum", type=float_in_range(below=1), help="sgd only, from 0 to below 1 (default 0)")
    parser.add_argument("--weight-decay", type=float_in_range(), help="pulls the weights to 0 (default 0; adamw 0.01)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default float32")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write metrics, weights and plots to this folder")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue the run in the folder of --out")
    again.add_argument("--overwrite", action="store_true", help="replace the run in the folder of --out")
    parser.add_argument(
        "--checkpoint-every",
        type=float_in_range(),
        default=math.inf,
        metavar="SECONDS",
        help="write a checkpoint also within an epoch (default: after each epoch)",
    )
    parser.add_argument(
        "--detect-anomaly", action="store_true", help="name the op and the line of the first NaN or inf (slow)"
    )
    add_dataset(parser)
    add_common(parser)
    options = parser.parse_args()
    if options.resume and not options.out:
        parser.error("argument --resume: needs --out DIR, the folder of the run to continue")
    if options.overwrite and not options.out:
        parser.error("argument --overwrite: needs --out DIR, the folder to write to")
    if options.checkpoint_every < math.inf and not options.out:
        parser.error("argument --checkpoint-every: needs --out DIR, the folder of the checkpoint")
    if options.momentum is not None and options.optimizer != "sgd":
        parser.error(f"argument --momentum: only sgd has it, and the optimizer is {options.optimizer}")
    return options


def fill_defaults(options: argparse.Namespace) -> None:
    """Replace None by the default, which depends on the dataset or the optimizer; run.json then has what was used."""
    defaults = {
        "epochs": EPOCHS[options.dataset],
        "batch_size": BATCH_SIZES[options.dataset],
        "lr": LEARNING_RATES[options.optimizer],
        "momentum": 0.0,
        "weight_decay": 0.01 if options.optimizer == "adamw" else 0.0,
    }
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
