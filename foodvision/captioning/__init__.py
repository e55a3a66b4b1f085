"""A sentence about any image, by Salesforce's BLIP (arXiv 2201.12086) as transformers runs it.

`repository` finds the model, `Captioner` answers, `output` and `text_files` write its captions, and
`self_check` compares one with the model card's.
"""

BASE = "Salesforce/blip-image-captioning-base"
LARGE = "Salesforce/blip-image-captioning-large"
