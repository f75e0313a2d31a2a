# Step 5: optimizers and the loop


class SGD:
    def __init__(self, params, lr, momentum=0.0):
        self.params, self.lr, self.momentum = list(params), lr, momentum
        self.velocity = [0.0 for p in self.params]

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                raise NotImplementedError("step 5a: the new velocity, and a step along it")


class Adam(SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.m, self.v, self.t = [0.0 for p in self.params], [0.0 for p in self.params], 0

    def step(self):
        self.t += 1
        for i, p in enumerate(self.params):
            if p.grad is not None:
                self.m[i] = 0.9 * self.m[i] + 0.1 * p.grad
                raise NotImplementedError("step 5b: v, the correction of both means, and the step")


class no_grad:
    """`with no_grad():` no graph is recorded."""

    def __enter__(self):
        self.before, Tensor.recording = Tensor.recording, False

    def __exit__(self, *exception):
        raise NotImplementedError("step 5c: restore the mode from before")


def train(model, optimizer, batches):
    """One step for each batch, which is a Tensor of images and an array of labels."""
    for images, labels in batches:
        raise NotImplementedError("step 5d: loss, reset, gradients, step")
