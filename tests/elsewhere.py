"""Tensors on a device that is not the processor, as far as that can be had without one.

Under `Elsewhere` the marked tensors say that they are on `cuda`, and what such a GPU refuses is
refused: two devices in one operation, a generator of the other one, `numpy()`. The numbers are
computed on the processor all the while. Code that names no device for a new tensor is caught as
soon as that tensor meets one from elsewhere.
"""

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
MOVES = {"to", "cpu", "cuda"}
BY_INDEX = {"__getitem__", "__setitem__"}  # a GPU's tensor takes indices from here
COPIES = {"copy_"}
DECLINED = {"numpy", "__array__"}


class MixedDevicesError(RuntimeError):
    """What would fail on a GPU."""


def put(*tensors):
    """Mark tensors as being elsewhere; returns the first."""
    for tensor in tensors:
        tensor.elsewhere = True
    return tensors[0]


def module(one):
    """Mark all parameters and buffers of a module; returns it."""
    put(*one.parameters(), *one.buffers())
    return one


def is_elsewhere(tensor):
    return getattr(tensor, "elsewhere", False)


class Elsewhere(TorchFunctionMode):
    """While it is on, marks are handed on from tensor to tensor, and mistakes raised."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        where = resolve_name(func) or name
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if where == "torch.Tensor.device.__get__":
            return CUDA if is_elsewhere(args[0]) else CPU
        if where == "torch.Tensor.is_cuda.__get__":
            return is_elsewhere(args[0])
        there = self._destination(name, args, kwargs, tensors)
        if name in DECLINED and is_elsewhere(args[0]):
            raise MixedDevicesError(f"{name} of a tensor that is elsewhere; move it to the CPU")
        if kwargs.get("generator") is not None and there:
            raise MixedDevicesError(f"{name} draws elsewhere with a generator that is here")
        if name in BY_INDEX and not is_elsewhere(args[0]):
            _refuse_mixed(name, [args[0].unsqueeze(0), *tensors])
        elif name not in MOVES | COPIES | BY_INDEX:
            _refuse_mixed(name, tensors)
        args, kwargs = tree_map(_really, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        return tree_map(lambda t: _marked(t, there, new=name in MOVES), result)

    def _destination(self, name, args, kwargs, tensors):
        """Whether the result is elsewhere."""
        if name == "cpu":
            return False
        if isinstance(kwargs.get("device"), torch.device | str):
            return torch.device(kwargs["device"]).type == "cuda"
        if name == "to":
            target = [a for a in args[1:] if isinstance(a, torch.Tensor | torch.device | str)]
            if target and not isinstance(target[0], torch.Tensor):
                return torch.device(target[0]).type == "cuda"
            return is_elsewhere(target[0] if target else args[0])
        return any(map(is_elsewhere, tensors))


def _refuse_mixed(name, tensors):
    """Numbers of no dimension may come from here; anything else has to be elsewhere as well."""
    if any(map(is_elsewhere, tensors)):
        strangers = [t for t in tensors if not is_elsewhere(t) and t.ndim]
        if strangers:
            shapes = [tuple(t.shape) for t in strangers]
            raise MixedDevicesError(f"{name} of tensors elsewhere and of {shapes} here")


def _really(value):
    return CPU if isinstance(value, torch.device) and value.type == "cuda" else value


def _marked(value, there, new):
    if not isinstance(value, torch.Tensor):
        return value
    if new and is_elsewhere(value) != there:
        value = value.view_as(value)  # what is moved leaves the original where it was
    return put(value) if there else value
