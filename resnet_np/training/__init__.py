"""Training: the recipe, one step, the loop around it, evaluation, and the run folder."""

from resnet_np.training.config import PRESETS, Config, preset
from resnet_np.training.evaluation import Evaluation, evaluate
from resnet_np.training.run_folder import RunFolder
from resnet_np.training.step import StepResult, training_step

__all__ = ["PRESETS", "Config", "Evaluation", "RunFolder", "StepResult", "evaluate", "preset", "training_step"]
