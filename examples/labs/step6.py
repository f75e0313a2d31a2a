# Step 6: modules


class Module:
    def parameters(self):
        """The Tensors among the attributes, and the parameters of the modules among them."""
        found = []
        for value in vars(self).values():
            for each in value if isinstance(value, (list, tuple)) else [value]:
                raise NotImplementedError("step 6a: append a Tensor; of a Module append all of its parameters")
        return found


class Linear(Module):
    def __init__(self, inputs, outputs, rng):
        bound = 1 / np.sqrt(inputs)
        raise NotImplementedError("step 6b: weight and bias, uniform between -bound and bound")

    def __call__(self, x):
        return linear(x, self.weight, self.bias)


class Sequential(Module):
    def __init__(self, *layers):
        self.layers = layers

    def __call__(self, x):
        raise NotImplementedError("step 6c: each layer in turn")
