"""What became of a weight file's tensors, and what was taken for granted about the net."""

from dataclasses import dataclass, field

from resnet_np.words import one_line

FEW = 3  # names that a line shows


@dataclass(frozen=True)
class Report:
    """How a weight file was read.

    file        its name
    container   "torch zip", "torch stream", "torch tar", "safetensors" or "npz"
    dialect     whose names its tensors have
    net         what it holds, in half a line
    mapped      how many of its tensors the net has
    left_over   names of tensors that the net has no use for, and that change nothing of what it computes
    unknown     names of tensors that no net here has, though they change what is computed: such a file is refused
    missing     names of tensors that the file lacks
    mis_shaped  (name, the shape that came, the shape expected)
    assumed     what the file does not say: {"zero_pad": "both", ...}
    """

    file: str
    container: str
    dialect: str
    net: str
    mapped: int
    left_over: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mis_shaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    assumed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For the user."""
        shapes = [f"{name} {got} instead of {expected}" for name, got, expected in self.mis_shaped]
        lists = (("left over", self.left_over), ("unknown", self.unknown), ("missing", self.missing), ("mis-shaped", shapes))
        assumed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.assumed.items())
        rows = [
            ("file", f"{one_line(self.file)}: {self.container}, names of {self.dialect}"),
            ("net", self.net),
            ("mapped", f"{self.mapped:,} tensors"),
            *((what, _counted(names)) for what, names in lists if names),
            *([("assumed", assumed)] if assumed else []),
        ]
        return [f"{what:11}{text}" for what, text in rows]

    def objection(self) -> str:
        """What is wrong with the file, in part of a line: the first names and how many there are."""
        faults = [
            *(f"{one_line(name, 80)} is {got}, expected {expected}" for name, got, expected in self.mis_shaped),
            *(f"{one_line(name, 80)} is missing" for name in self.missing),
            *(f"{one_line(name, 80)} has no place in it" for name in self.unknown),
        ]
        more = len(faults) - FEW
        return f"{len(faults):,} of its tensors do not fit: {'; '.join(faults[:FEW])}{f'; and {more:,} more' * (more > 0)}"


def _counted(names: list[str] | tuple[str, ...]) -> str:
    """"3: a, b, c" or "7: a, b, c and 4 more"."""
    more = len(names) - FEW
    return f"{len(names):,}: {', '.join(one_line(name, 120) for name in names[:FEW])}{f' and {more:,} more' * (more > 0)}"
