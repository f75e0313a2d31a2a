"""Helpers for parameters, under torch's name."""

from .clip_grad import clip_grad_norm_, clip_grad_value_
from .vector import parameters_to_vector, vector_to_parameters
