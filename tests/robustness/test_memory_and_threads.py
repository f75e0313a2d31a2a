"""Long runs and threads: constant memory, and bit-identical results in parallel threads."""

import gc
import platform
import subprocess
import sys
import threading
from collections import deque
from itertools import islice

import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F


def training(seed, steps, optimizer="sgd"):
    """Train a small MLP on random labels. Yields the bits of the weights after each step."""
    source = mg.backend.random.new_generator(seed)
    x = mg.from_numpy(source.standard_normal((16, 8)).astype("float32"))
    labels = mg.from_numpy(source.integers(0, 3, 16))
    model = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))
    for parameter in model.parameters():
        parameter.data = mg.from_numpy(source.uniform(-0.3, 0.3, parameter.shape).astype("float32"))
    kinds = {"sgd": lambda p: optim.SGD(p, 0.05, momentum=0.9), "adam": lambda p: optim.Adam(p, 0.01)}
    chosen = kinds[optimizer](model.parameters())
    for _ in range(steps):
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        chosen.step()
        chosen.zero_grad()
        yield b"".join(parameter.array.tobytes() for parameter in model.parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ten_thousand_steps_use_constant_memory(optimizer):
    steps = training(0, 10_000, optimizer)
    gc.disable()  # nothing may depend on the garbage collector
    try:
        deque(islice(steps, 1_000), maxlen=0)
        early = sys.getallocatedblocks()  # memory blocks of Python objects, of which each array has one
        deque(islice(steps, 8_999), maxlen=0)
        late = sys.getallocatedblocks()
    finally:
        gc.enable()
    assert next(steps)
    assert abs(late - early) < 100


def test_threads_are_bit_identical_to_one_thread():
    def last(seed):
        *_, bits = training(seed, 300)
        return bits

    alone = [last(seed) for seed in range(4)]
    together = {}
    start = threading.Barrier(4)

    def work(seed):
        start.wait()
        together[seed] = last(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(4)] == alone


def test_modes_belong_to_their_thread():
    inside, done = threading.Event(), threading.Event()
    found = []

    def other():
        inside.wait()
        x = mg.ones(2, requires_grad=True)
        found.append((mg.is_grad_enabled(), (x * 2).requires_grad))
        with mg.no_grad():
            found.append(mg.is_grad_enabled())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with mg.no_grad(), mg.detect_anomaly():
        inside.set()
        done.wait()
        assert not mg.is_grad_enabled()
    thread.join()
    assert found == [(True, True), False]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's mmap threshold")
def test_training_step_causes_few_page_faults():
    """A step of 784-256-10 at batch 1024 had 1,840 page faults before the threshold was raised."""
    program = """
import resource, minigrad as mg
from minigrad import nn, optim
from minigrad.nn import functional as F
model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = optim.SGD(model.parameters(), 0.1)
labels = mg.zeros(1024, dtype="int64")
for step in range(10):
    if step == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    F.cross_entropy(model(mg.zeros(1024, 784) + 1), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 100
