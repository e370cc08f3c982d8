HELP = "x"
def add_arguments(parser): pass
def run(options): pass
