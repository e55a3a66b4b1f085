"""Networks that others have trained: torchvision's, timm's, transformers', the authors'."""
