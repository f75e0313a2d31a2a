"""A process that runs one engine and replies to requests of training_step.py, one JSON line each.

{"sizes": [784, 128, 10], "batch": 128}   make the model                      -> {"ready": true}
{"steps": 20}                             run steps, and time each            -> {"seconds": [...]}
{"result": true}                          accuracy and peak memory            -> {"accuracy": ..., "megabytes": ...}
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np
from engines import ENGINES, initial_weights

N = 20_000


def images_and_labels() -> tuple[Any, Any]:
    """Images of MNIST's shape, with the labels of a random linear model."""
    random = np.random.default_rng(0)
    images = random.random((N, 784), dtype=np.float32)
    teacher = random.standard_normal((784, 10)).astype("float32")
    return images, (images - 0.5).dot(teacher).argmax(axis=1)


def accuracy(weights: list[Any], images: Any, labels: Any) -> float:
    """Accuracy on the first 2,000 training images, computed by NumPy from the weights of any engine."""
    x = images[:2000]
    for i in range(0, len(weights) - 2, 2):
        x = np.maximum(x @ weights[i] + weights[i + 1], 0)
    return float(((x @ weights[-2] + weights[-1]).argmax(axis=1) == labels[:2000]).mean())


def main() -> None:
    """Reply to requests until stdin is closed."""
    backend, name = sys.argv[1:]
    images, labels = images_and_labels()
    engine: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        reply: dict[str, Any] = {"ready": True}
        if "sizes" in request:
            engine = ENGINES[backend][name](request["sizes"], initial_weights(request["sizes"]), images, labels)
            shuffles = np.random.default_rng(1)
            batch = request["batch"]
        elif "steps" in request:
            seconds = []
            for _ in range(request["steps"]):
                index = shuffles.integers(0, N, batch)
                start = time.perf_counter()
                engine.step(index)
                engine.finish()
                seconds.append(time.perf_counter() - start)
            reply = {"seconds": seconds}
        elif "result" in request:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            reply = {"accuracy": accuracy(engine.weights(), images, labels), "megabytes": peak}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
