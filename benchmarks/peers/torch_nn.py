"""PyTorch as its tutorials teach it: `torch.nn`, autograd, `torch.optim.SGD`; eager, or through `torch.compile`."""

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "logistic": nn.Sigmoid}


class TorchTrainer:
    """Trains on tensors in memory, shuffled by `torch.randperm`."""

    def __init__(self, workload: Any, settings: Any, compiled: bool, device: str) -> None:
        torch.manual_seed(settings.seed)
        sizes = (workload.x.shape[1], *settings.hidden_layer_sizes, workload.classes)
        parts: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            parts += [nn.Linear(inputs, outputs), ACTIVATIONS[settings.activation]()]
        dtype = getattr(torch, settings.dtype)
        self.model = nn.Sequential(*parts[:-1]).to(device, dtype)
        optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[settings.optimizer]
        self.optimizer = optimizer(self.model.parameters(), lr=settings.learning_rate)
        self.loss = nn.CrossEntropyLoss()
        self.x = torch.from_numpy(workload.x).to(device, dtype)
        self.labels = torch.from_numpy(workload.labels).to(device)
        self.batch_size = settings.batch_size
        self.device = device
        mode = "reduce-overhead" if device == "cuda" else None
        self.forward = torch.compile(self.forward_loss, mode=mode) if compiled else self.forward_loss

    def forward_loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch."""
        return self.loss(self.model(x), labels)

    def train_epoch(self) -> None:
        """Train for one epoch."""
        order = torch.randperm(len(self.x), device=self.device)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            self.optimizer.zero_grad()
            self.forward(self.x[rows], self.labels[rows]).backward()
            self.optimizer.step()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the predicted classes."""
        with torch.no_grad():
            return self.model(torch.from_numpy(x).to(self.x)).argmax(dim=1).cpu().numpy()


def make_trainer(workload: Any, settings: Any, compiled: bool = False, device: str = "cpu") -> TorchTrainer:
    """Create the trainer."""
    return TorchTrainer(workload, settings, compiled, device)
