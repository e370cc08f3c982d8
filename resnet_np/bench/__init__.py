"""How fast training and inference are: against PyTorch's on the same cores, and operation by operation against the roofline.

Every side works in a process of its own (`worker`); the parent (`compare`) lets them work in turns, so that the machine's noise
hits all of them, and first makes sure that they compute the same thing (`agreement`).
"""
