"""Networks that others have trained: torchvision's, timm's, transformers', the authors'.

The path of a checkpoint: `source` finds the file and whose layout it has, `tensors` reads it,
`Checkpoint.build` in `checkpoint` makes the network, and `layouts` turns the library's tensors into
foodvision's.
"""
