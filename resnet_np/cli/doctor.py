"""resnet-np doctor"""

import argparse

HELP = "versions, threads, caches and data on this machine; what is missing and how to get it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """doctor has no options."""


def run(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np import doctor

    for topic, text in [*doctor.findings(), ("data", data_tools.locate())]:
        print(f"{topic:16} {text}")
