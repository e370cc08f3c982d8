"""From gradients to new weights: the optimiser, and the learning rate of each step."""

from resnet_np.optim.lookahead import Lookahead
from resnet_np.optim.muon import Muon
from resnet_np.optim.schedules import CosineSchedule, OneCycle, StepSchedule
from resnet_np.optim.sgd import SGD

__all__ = ["SGD", "CosineSchedule", "Lookahead", "Muon", "OneCycle", "StepSchedule"]
