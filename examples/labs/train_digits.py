"""Trains the bundled digits with the engine in my_engine.py: one layer after step 5, a hidden layer after step 6."""

import my_engine as me
import numpy as np

import minigrad as mg


def digits(train):
    """The images as an array (N, 64), and the labels."""
    data = mg.data.Digits(train=train)
    images = np.stack([image.numpy().ravel() for image, _ in data])
    return images, np.array([label for _, label in data])


def train_digits() -> bool:
    """Whether the accuracy is 90 % with one layer, or 95 % with a hidden layer."""
    images, labels = digits(train=True)
    test_images, test_labels = digits(train=False)
    rng = np.random.default_rng(0)
    if hasattr(me, "Sequential"):
        model = me.Sequential(me.Linear(64, 64, rng), me.relu, me.Linear(64, 10, rng))
        params, goal = model.parameters(), 0.95
    else:
        params = [me.Tensor(np.zeros((10, 64))), me.Tensor(np.zeros(10))]
        model, goal = (lambda x: me.linear(x, *params)), 0.9
    optimizer = me.SGD(params, lr=0.1, momentum=0.9)
    for epoch in range(1, 11):
        order = rng.permutation(len(labels))
        batches = [(me.Tensor(images[rows]), labels[rows]) for rows in np.array_split(order, 45)]
        me.train(model, optimizer, batches)
        with me.no_grad():
            accuracy = np.mean(model(me.Tensor(test_images)).data.argmax(axis=1) == test_labels)
        print(f"epoch {epoch:2}: {accuracy:.1%} of the test digits")
    print(f"the goal of {goal:.0%} is {'reached' if accuracy >= goal else 'missed'}")
    return bool(accuracy >= goal)
