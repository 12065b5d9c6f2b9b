"""Where tensors live: on the processor, or on a GPU if there is one.

Random numbers are drawn where their generator lives, on the processor as a rule, and moved: the
same seed gives the same z on every device. What is computed from it differs in the last digits.
"""

import torch

CHOICES = ("auto", "cpu", "cuda")


class DeviceError(RuntimeError):
    """The device that was asked for is not there."""


def pick(wanted: str = "auto") -> torch.device:
    """The device to compute on; `auto` takes a GPU if there is one.

    Who asks for `cuda` means it: hours on a processor in place of minutes on a GPU are an error.

    Raises:
        ValueError: ``wanted`` is none of `CHOICES`.
        DeviceError: ``cuda`` is wanted, and torch sees none.
    """
    if wanted not in CHOICES:
        raise ValueError(f"unknown device {wanted!r}; choose from {', '.join(CHOICES)}")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError(
            f"device is 'cuda', but torch {torch.__version__} sees no GPU here; take 'cpu' or"
            " 'auto', or ask for a GPU, on a machine that has one, with a torch built for it"
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def name(device: torch.device) -> str:
    """For the tables: `cpu`, or `cuda` and which GPU it was."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def finish(device: torch.device) -> None:
    """Wait until the device has done all that it was told, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
